/*
 * One invocation of a handler, in the three ways that there are: with callbacks (up to
 * nodejs22.x), with promises only (from nodejs24.x), and with a streamed response.
 */
'use strict';

const { Kind } = require('./frames.js');
const { HIGH_WATER_MARK } = require('./contract.js');

const UNSETTLED =
  'The Lambda runtime client detected an unexpected Node.js exit code. This is most commonly caused by a Promise that was never settled. For more information, see https://nodejs.org/docs/latest/api/process.html#process_exit_codes';
/** Of a process before nodejs10.x that something escaped. */
const LEGACY_STATUS = 1;
/** Node.js's own status for a promise at the top that never settles. */
const UNSETTLED_STATUS = 13;

function isPromise(value) {
  return Boolean(value) && typeof value.then === 'function';
}

function isMissing(value) {
  return value === undefined || value === null;
}

function functionMembers() {
  const variables = process.env;
  return {
    functionVersion: variables.AWS_LAMBDA_FUNCTION_VERSION,
    functionName: variables.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: variables.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: variables.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: variables.AWS_LAMBDA_LOG_STREAM_NAME,
  };
}

function parseClientContext(text) {
  if (!text) return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`Cannot parse ClientContext as json: ${error}`);
  }
}

/** The members of a context up to nodejs22.x that no method of it is, in AWS's order. */
function requestMembers(request) {
  const { deadlineMs } = request;
  return {
    ...functionMembers(),
    clientContext: parseClientContext(request.clientContext),
    identity: undefined,
    invokedFunctionArn: request.functionArn,
    awsRequestId: request.requestId,
    tenantId: undefined,
    getRemainingTimeInMillis: () => deadlineMs - Date.now(),
  };
}

function modernContext(request) {
  const { deadlineMs } = request;
  const { functionVersion, functionName, ...log } = functionMembers();
  return {
    clientContext: parseClientContext(request.clientContext),
    identity: undefined,
    invokedFunctionArn: request.functionArn,
    awsRequestId: request.requestId,
    tenantId: undefined,
    xRayTraceId: request.traceId || undefined,
    getRemainingTimeInMillis: () => deadlineMs - Date.now(),
    functionName,
    functionVersion,
    ...log,
  };
}

/** An invocation up to nodejs22.x: the first of several ways to complete counts. */
class CallbackInvocation {
  constructor(runtime, request) {
    this.runtime = runtime;
    this.request = request;
    this.waits = true;
    this.isFinished = false;
    this.isCompleted = false;
  }

  run() {
    const { runtime } = this;
    const { contract } = runtime;
    const callback = this.first(this.callback);
    try {
      const event = JSON.parse(this.request.payload);
      const context = this.context();
      const result = contract.passesCallback ? runtime.handler(event, context, callback) : runtime.handler(event, context);
      if (contract.awaitsPromises && isPromise(result)) {
        result.then(context.succeed, context.fail).catch(context.fail);
      }
    } catch (error) {
      if (contract.legacy) runtime.die('Uncaught Exception', error, LEGACY_STATUS);
      else callback(error);
    }
  }

  context() {
    const invocation = this;
    const context = {
      get callbackWaitsForEmptyEventLoop() { return invocation.waits; },
      set callbackWaitsForEmptyEventLoop(value) { invocation.waits = value; },
      succeed: this.first((value) => this.done(null, value)),
      fail: this.first((error) => this.done(isMissing(error) ? 'handled' : error)),
      done: this.first(this.done),
    };
    if (this.runtime.contract.legacy) context.invokeid = this.request.requestId;
    return Object.assign(context, requestMembers(this.request));
  }

  /** Let nothing follow the first way to complete that did not throw. */
  first(method) {
    return (...given) => {
      if (this.isFinished) return;
      method.apply(this, given);
      this.isFinished = true;
    };
  }

  callback(error, value) {
    if (!isMissing(error) || !this.waits || this.isCompleted) this.done(error, value);
    else this.runtime.whenIdle = () => this.complete(value);
  }

  done(error, value) {
    // From here on nothing is answered for a drained loop, even where this throws.
    if (this.runtime.current === this) this.runtime.whenIdle = null;
    if (isMissing(error)) this.complete(value);
    else this.fail(error);
  }

  complete(value) {
    if (this.isCompleted) {
      console.error('Invocation has already been reported as done. Cannot call complete more than once per invocation.');
      return;
    }
    this.isCompleted = true;
    this.runtime.reply(this, Kind.RESULT, this.runtime.errors.serialize(value));
  }

  fail(error) {
    const { contract, errors, records } = this.runtime;
    records.failure('Invoke Error', error);
    const kind = contract.legacy ? Kind.HANDLED_ERROR : Kind.ERROR;
    this.runtime.reply(this, kind, JSON.stringify(errors.describe(error)));
  }

  drained() {
    this.isCompleted = true;
    if (this.runtime.contract.mustComplete) this.runtime.exitUncompleted(0);
    else this.runtime.reply(this, Kind.RESULT, 'null');
  }
}

/** An invocation from nodejs24.x on: what the handler returns, now or later, is the response. */
class PromiseInvocation {
  constructor(runtime, request) {
    this.runtime = runtime;
    this.request = request;
  }

  async run() {
    const { runtime, request } = this;
    const event = JSON.parse(request.payload);
    const context = modernContext(request);
    try {
      const result = await runtime.handler(event, context);
      await new Promise(setImmediate);
      runtime.reply(this, Kind.RESULT, runtime.errors.serialize(result));
    } catch (error) {
      await new Promise(setImmediate);
      runtime.records.failure('Invoke Error', error);
      runtime.reply(this, Kind.ERROR, JSON.stringify(runtime.errors.describe(error)));
    }
  }

  drained() {
    this.runtime.exitUnsettled(Kind.FATAL);
  }
}

/**
 * An invocation whose handler writes to a stream.
 *
 * It ends with its stream, where AWS before nodejs24.x waits for the event loop too before it
 * takes the next event.
 */
class StreamedInvocation {
  constructor(runtime, request) {
    const { ResponseStream } = require('./streams.js');
    const mark = Number(runtime.handler[HIGH_WATER_MARK]);
    this.runtime = runtime;
    this.request = request;
    this.stream = new ResponseStream(runtime.errors, mark || undefined);
    this.ended = new Promise((resolve, reject) => {
      this.stream.once('finish', resolve).once('error', reject);
    });
    // Whoever waits for it hears of the failure; where nobody does yet, it is not unhandled.
    this.ended.catch(() => {});
  }

  async run() {
    const { runtime, stream } = this;
    try {
      const context = this.context();
      const event = JSON.parse(this.request.payload);
      const result = runtime.handler(event, stream, context);
      if (!isPromise(result)) throw this.problem('Streaming does not support non-async handlers.');
      if ((await result) !== undefined) console.warn('Streaming handlers ignore return values.');
      await this.ended;
      runtime.reply(this, Kind.RESULT, '');
    } catch (error) {
      this.fail(error);
    }
  }

  context() {
    if (this.runtime.contract.modern) return modernContext(this.request);
    let waits = true;
    const context = {
      get callbackWaitsForEmptyEventLoop() { return waits; },
      set callbackWaitsForEmptyEventLoop(value) { waits = value; },
    };
    return Object.assign(context, requestMembers(this.request));
  }

  /** Before nodejs24.x the runtime's own complaints are plain texts. */
  problem(text) {
    return this.runtime.contract.modern ? new Error(text) : text;
  }

  /** A response that has ended is not called back: then the failure is only logged. */
  fail(error) {
    const { runtime, stream } = this;
    runtime.records.failure('Invoke Error', error);
    if (stream.writableEnded && !stream.errored) runtime.reply(this, Kind.RESULT, '');
    else runtime.reply(this, Kind.ERROR, JSON.stringify(runtime.errors.describe(error)));
  }

  drained() {
    this.fail(this.problem('Response stream is not finished.'));
  }
}

module.exports = { CallbackInvocation, PromiseInvocation, StreamedInvocation, UNSETTLED, UNSETTLED_STATUS, LEGACY_STATUS };
