/*
 * The runtime of one environment: loads the handler, serves one invocation after another, and
 * ends as the contract has it when something escapes the handler.
 */
'use strict';

const { Kind, receiveInvocation, send } = require('./frames.js');
const { Errors } = require('./errors.js');
const { Records } = require('./records.js');
const { loadHandler, loadLegacyHandler } = require('./loading.js');
const { STREAMING, HIGH_WATER_MARK } = require('./contract.js');
const {
  CallbackInvocation, PromiseInvocation, StreamedInvocation, UNSETTLED, UNSETTLED_STATUS, LEGACY_STATUS,
} = require('./invocations.js');

const INIT_FAILED_STATUS = 129;
const UNCAUGHT_STATUS = 129;
const UNHANDLED_STATUS = 128;

/** Writes metadata before the body, as function URLs and API Gateway expect it. */
class HttpResponseStream {
  static from(stream, metadata) {
    stream.setContentType('application/vnd.awslambda.http-integration-response');
    const text = JSON.stringify(metadata);
    stream._onBeforeFirstWrite = (write) => {
      write(text);
      write(new Uint8Array(8));
    };
    return stream;
  }
}

function streamifyResponse(handler, options) {
  handler[STREAMING] = 'response';
  if (options && typeof options.highWaterMark === 'number') {
    handler[HIGH_WATER_MARK] = parseInt(options.highWaterMark, 10);
  }
  return handler;
}

class Runtime {
  constructor(contract) {
    this.contract = contract;
    this.errors = new Errors(contract);
    this.records = new Records(contract, this.errors);
    this.handler = undefined;
    /** The invocation that runs, null in between. */
    this.current = null;
    /** What happens when the event loop drains. */
    this.whenIdle = () => this.exitUnsettled(Kind.INIT_ERROR);
    this.next = this.next.bind(this);
  }

  async start(taskRoot, handlerSetting) {
    const { contract } = this;
    this.records.patchConsole();
    this.watchProcess();
    if (contract.hasStreams && !contract.hidesGlobal) {
      globalThis.awslambda = { ...globalThis.awslambda, streamifyResponse, HttpResponseStream };
    }
    if (contract.modern) this.store = require('./invoke_store.js').makeStore(contract);
    let handler;
    try {
      const load = contract.legacy ? loadLegacyHandler : loadHandler;
      handler = await load(taskRoot, handlerSetting, this);
    } catch (error) {
      this.failInit(error, handlerSetting);
    }
    // What loading has left behind and fails at once is still a failure of the init phase.
    setImmediate(() => this.serve(handler));
  }

  serve(handler) {
    this.handler = handler;
    this.Invocation = handler[STREAMING] ? StreamedInvocation
      : this.contract.modern ? PromiseInvocation : CallbackInvocation;
    this.whenIdle = null;
    send(Kind.READY, '');
    this.next();
  }

  failInit(error, handlerSetting) {
    if (this.contract.legacy) this.records.legacyInitFailure(error, handlerSetting);
    else this.records.failure(this.contract.modern ? 'Init Error' : 'Uncaught Exception', error);
    send(Kind.INIT_ERROR, JSON.stringify(this.errors.describe(error)));
    this.whenIdle = null;
    // From nodejs24.x on Node.js itself prints it and ends, with status 1.
    if (this.contract.modern) throw error;
    process.exit(INIT_FAILED_STATUS);
  }

  /** Wait for the next event, with everything else at a standstill, and run the handler on it. */
  next() {
    const request = receiveInvocation();
    this.records.requestId = request.requestId;
    const variables = process.env;
    if (request.traceId !== (variables._X_AMZN_TRACE_ID || '')) {
      if (request.traceId) variables._X_AMZN_TRACE_ID = request.traceId;
      else delete variables._X_AMZN_TRACE_ID;
    }
    const invocation = new this.Invocation(this, request);
    this.current = invocation;
    this.whenIdle = () => invocation.drained();
    if (this.store) this.store.begin(request);
    invocation.run();
  }

  /** Answer an invocation once; what comes later is for nobody. */
  reply(invocation, kind, text) {
    if (this.current !== invocation) return;
    this.current = null;
    this.whenIdle = null;
    send(kind, text);
    setImmediate(this.next);
  }

  // How it ends

  watchProcess() {
    const { contract, errors } = this;
    process.on('beforeExit', () => {
      const idle = this.whenIdle;
      this.whenIdle = null;
      // In the loop's next turn: what it throws is uncaught, as anything is that a timer throws.
      if (idle) setImmediate(idle);
    });
    // From nodejs24.x on both are Node.js's own affair: it prints them and exits with status 1.
    if (contract.modern) return;
    process.on('uncaughtException', (error) => this.die('Uncaught Exception', error, contract.legacy ? LEGACY_STATUS : UNCAUGHT_STATUS));
    process.on('unhandledRejection', (reason, promise) => {
      if (contract.legacy) {
        process.stderr.write(`(node:${process.pid}) UnhandledPromiseRejectionWarning: ${(reason && reason.stack) || reason}\n`);
        return;
      }
      const error = errors.runtimeError('UnhandledPromiseRejection', reason);
      this.die('Unhandled Promise Rejection', Object.assign(error, { reason, promise }), UNHANDLED_STATUS);
    });
  }

  die(title, error, status) {
    this.records.failure(title, error);
    if (this.contract.legacy && this.current) this.exitUncompleted(status);
    const payload = JSON.stringify(this.errors.describe(error));
    if (this.current) send(Kind.FATAL, payload);
    else if (this.handler === undefined) send(Kind.INIT_ERROR, payload);
    process.exit(status);
  }

  /** Before nodejs10.x: the process ends, and the caller gets to know no more than that. */
  exitUncompleted(status) {
    const id = this.current.request.requestId;
    send(Kind.FATAL, JSON.stringify({ errorMessage: `RequestId: ${id} Process exited before completing request` }));
    process.exit(status);
  }

  exitUnsettled(kind) {
    const error = this.errors.runtimeError('NodeJsExit', UNSETTLED);
    this.records.failure('Uncaught Exception', error);
    send(kind, JSON.stringify(this.errors.describe(error)));
    process.exit(UNSETTLED_STATUS);
  }
}

module.exports = { Runtime };
