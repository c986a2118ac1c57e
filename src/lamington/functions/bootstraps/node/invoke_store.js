/*
 * `awslambda.InvokeStore` of nodejs24.x: what belongs to the invocation that runs.
 */
'use strict';

const PROTECTED_KEYS = {
  REQUEST_ID: Symbol.for('_AWS_LAMBDA_REQUEST_ID'),
  X_RAY_TRACE_ID: Symbol.for('_AWS_LAMBDA_X_RAY_TRACE_ID'),
  TENANT_ID: Symbol.for('_AWS_LAMBDA_TENANT_ID'),
};

class InvokeStore {
  static PROTECTED_KEYS = PROTECTED_KEYS;

  getRequestId() { return this.get(PROTECTED_KEYS.REQUEST_ID) ?? '-'; }

  getXRayTraceId() { return this.get(PROTECTED_KEYS.X_RAY_TRACE_ID); }

  getTenantId() { return this.get(PROTECTED_KEYS.TENANT_ID); }

  getContext() { return this.context; }

  hasContext() { return this.context !== undefined; }

  get(key) { return this.context?.[key]; }

  set(key, value) {
    if (this.isProtectedKey(key)) throw new Error(`Cannot modify protected Lambda context field: ${String(key)}`);
    this.context = this.context || {};
    this.context[key] = value;
  }

  isProtectedKey(key) { return Object.values(PROTECTED_KEYS).includes(key); }

  run(context, inner) {
    this.context = context;
    return inner();
  }

  begin(request) {
    this.context = {
      [PROTECTED_KEYS.REQUEST_ID]: request.requestId,
      [PROTECTED_KEYS.X_RAY_TRACE_ID]: request.traceId || undefined,
    };
  }
}

/** The store of this process, in sight of the function unless it wants no global. */
function makeStore(contract) {
  const store = new InvokeStore();
  if (!contract.hidesGlobal) globalThis.awslambda.InvokeStore = store;
  return store;
}

module.exports = { makeStore };
