/*
 * The Node.js runtime of one execution environment: loads the handler and serves invocations.
 *
 * It knows the standard library only (Node.js 16 or later). The engine is at the other end of a
 * socket; a frame is a length (u32) and as many bytes, the first one telling its kind. Between
 * two invocations the process blocks in a read: what a handler left behind (timers, sockets)
 * stands still until the next event, as in AWS's frozen environments.
 */
'use strict';

const fs = require('fs');
const path = require('path');
const util = require('util');

const READY = 1, INIT_ERROR = 2, RESULT = 3, ERROR = 4, FATAL = 5, HANDLED_ERROR = 6;
const HEADER_BYTES = 17;
const REPLY_BYTES = 13;
const BUFFER_BYTES = 65536;
const RECORD_BREAK = '\x1e';
const STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming');

const environment = process.env;
const descriptor = Number(process.argv[2]);
process.argv.length = 2;

/** The declared version decides what the contract is; the installed one only runs it. */
const declared = parseFloat((environment.AWS_EXECUTION_ENV || '').split('nodejs')[1]) || 0;
const legacy = declared < 10;
const modern = declared >= 24;
const jsonLogs = environment.AWS_LAMBDA_LOG_FORMAT === 'JSON';

class RuntimeError extends Error {
  constructor(name, message) {
    super(message);
    // Not enumerable, so that logs show it once, as the type.
    Object.defineProperty(this, 'name', { value: `Runtime.${name}` });
  }
}

// Frames

const buffer = Buffer.allocUnsafe(BUFFER_BYTES);
let filled = 0;

function readSome(target, at, size) {
  for (;;) {
    try {
      const got = fs.readSync(descriptor, target, at, size, null);
      if (got === 0) process.reallyExit(0);
      return got;
    } catch (error) {
      if (error.code === 'ECONNRESET') process.reallyExit(0);
      if (error.code !== 'EAGAIN' && error.code !== 'EINTR') throw error;
    }
  }
}

/** The next frame; it holds until the frame after it is received. */
function receive() {
  while (filled < 4) filled += readSome(buffer, filled, BUFFER_BYTES - filled);
  const length = buffer.readUInt32LE(0);
  const end = 4 + length;
  if (end <= BUFFER_BYTES) {
    while (filled < end) filled += readSome(buffer, filled, BUFFER_BYTES - filled);
    let frame = buffer.subarray(4, end);
    if (filled > end) {
      frame = Buffer.from(frame);
      buffer.copyWithin(0, end, filled);
    }
    filled -= end;
    return frame;
  }
  const large = Buffer.allocUnsafe(length);
  buffer.copy(large, 0, 4, filled);
  let at = filled - 4;
  while (at < length) at += readSome(large, at, Math.min(BUFFER_BYTES, length - at));
  filled = 0;
  return large;
}

function writeAll(target, data, size) {
  let at = 0;
  while (at < size) {
    try {
      at += fs.writeSync(target, data, at, size - at);
    } catch (error) {
      if (error.code === 'EPIPE') return;
      if (error.code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

/** The most resident memory so far, in KiB; maxRSS would count the parent's as well. */
function highestMemory() {
  try {
    return Number(/VmHWM:\s*(\d+)/.exec(fs.readFileSync('/proc/self/status', 'latin1'))[1]);
  } catch {
    return process.resourceUsage().maxRSS;
  }
}

const outgoing = Buffer.allocUnsafe(BUFFER_BYTES);
let memoryKb = 0;
let cpuUs = 0;
let sampledCpu = 0;
let sampledAt = 0;
let sent = 0;

/** Measure now and then: it costs more than an invocation may. */
function sample() {
  memoryKb = highestMemory();
  const { user, system } = process.cpuUsage();
  if (sampledAt < sent) cpuUs = Math.floor((user + system - sampledCpu) / (sent - sampledAt));
  sampledCpu = user + system;
  sampledAt = sent;
}

function send(kind, text) {
  if (sent < 4 || (sent & 63) === 0) sample();
  sent += 1;
  // A string of n UTF-16 units needs 3n bytes of UTF-8 at most.
  const fits = text.length * 3 + REPLY_BYTES <= BUFFER_BYTES;
  const frame = fits ? outgoing : Buffer.allocUnsafe(REPLY_BYTES + Buffer.byteLength(text));
  const size = frame.write(text, REPLY_BYTES, 'utf8');
  frame.writeUInt32LE(size + REPLY_BYTES - 4, 0);
  frame[4] = kind;
  frame.writeUInt32LE(memoryKb, 5);
  frame.writeUInt32LE(cpuUs, 9);
  writeAll(descriptor, frame, size + REPLY_BYTES);
}

// Logs

const LEVELS = { TRACE: 0, DEBUG: 1, INFO: 2, WARN: 3, ERROR: 4, FATAL: 5 };
const levelName = (environment.AWS_LAMBDA_LOG_LEVEL || '').toUpperCase();
const leastLevel = levelName in LEVELS ? LEVELS[levelName] : 0;
let currentRequestId;

function writeRecord(text) {
  const record = Buffer.from(
    (text.includes('\n') ? text.replace(/\n/g, RECORD_BREAK) : text) + '\n'
  );
  writeAll(1, record, record.length);
}

function textRecord(level, parts) {
  const id = currentRequestId === undefined && modern ? '-' : currentRequestId;
  const column = legacy ? '' : `${level}\t`;
  return `${new Date().toISOString()}\t${id}\t${column}${util.format(...parts)}`;
}

function errorMembers(error) {
  return {
    errorType: (error.constructor && error.constructor.name) || 'UnknownError',
    errorMessage: error.message,
    stackTrace: typeof error.stack === 'string' ? error.stack.split('\n') : [],
    ...error,
  };
}

function jsonRecord(level, parts) {
  const entry = { timestamp: new Date().toISOString(), level, requestId: currentRequestId };
  const replace = (_, value) =>
    typeof value === 'bigint' ? value.toString() : value instanceof Error ? errorMembers(value) : value;
  if (parts.length === 1) {
    entry.message = parts[0];
    try {
      return JSON.stringify(entry, replace);
    } catch {
      entry.message = util.format(parts[0]);
      return JSON.stringify(entry);
    }
  }
  entry.message = util.format(...parts);
  const error = parts.find((part) => part instanceof Error);
  if (error) {
    const { errorType, errorMessage, stackTrace } = errorMembers(error);
    Object.assign(entry, { errorType, errorMessage, stackTrace });
  }
  return JSON.stringify(entry);
}

function patchConsole() {
  const levels = { trace: 'TRACE', debug: 'DEBUG', log: 'INFO', info: 'INFO', warn: 'WARN', error: 'ERROR', fatal: 'FATAL' };
  const record = jsonLogs ? jsonRecord : textRecord;
  for (const [method, level] of Object.entries(levels)) {
    console[method] = (...parts) => {
      if (LEVELS[level] >= leastLevel) writeRecord(record(level, parts));
    };
  }
}

function withMembers(_, value) {
  if (!(value instanceof Error)) return value;
  const members = { errorType: value.name, errorMessage: value.message, code: value.code, ...value };
  if (typeof value.stack === 'string') members.stack = value.stack.split('\n');
  return members;
}

/** Log an error that ends an invocation or the environment. */
function logError(title, error) {
  if (jsonLogs) return console.error(title, error);
  let text;
  try {
    text = JSON.stringify(error, withMembers);
  } catch {
    text = JSON.stringify(describe(error));
  }
  writeRecord(textRecord('ERROR', [`${title} \t${text}`]));
}

// Errors

function isError(value) {
  return (
    util.types.isNativeError(value) ||
    (value && typeof value.name === 'string' && typeof value.message === 'string' &&
      typeof value.stack === 'string' && value.name && value.message && value.stack)
  );
}

/** The payload that the caller gets for what was thrown or handed over as an error. */
function describe(error) {
  try {
    if (legacy) return describeLegacy(error);
    if (isError(error)) {
      return { errorType: error.name, errorMessage: error.message, trace: error.stack.split('\n') };
    }
    return { errorType: typeof error, errorMessage: error.toString(), trace: [] };
  } catch {
    return {
      errorType: 'handled',
      errorMessage:
        'callback called with Error argument, but there was a problem while retrieving one or more of its message, name, and stack',
    };
  }
}

/** The form before nodejs10.x: `stackTrace`, and no type for what is not an Error. */
function describeLegacy(error) {
  if (isError(error)) {
    return {
      errorMessage: error.message,
      errorType: error.name,
      stackTrace: error.stack.split('\n').slice(1).map((line) => line.trim().replace(/^at /, '')),
    };
  }
  return { errorMessage: typeof error === 'string' ? error : JSON.stringify(error) };
}

// Loading

function tryRequire(file) {
  return fs.existsSync(file) && fs.statSync(file).isFile() ? require(file) : undefined;
}

async function tryImport(file) {
  return fs.existsSync(file) ? import(require('url').pathToFileURL(file).href) : undefined;
}

/** Whether the nearest package.json makes `.js` files ES modules. */
function inModulePackage(folder) {
  for (let at = folder; !at.endsWith('/node_modules'); at = path.dirname(at)) {
    const file = path.join(at, 'package.json');
    if (fs.existsSync(file)) {
      try {
        return JSON.parse(fs.readFileSync(file)).type === 'module';
      } catch (error) {
        console.warn(`${file} cannot be read, it will be ignored for ES module detection purposes.`, error);
        return false;
      }
    }
    if (at === path.dirname(at)) return false;
  }
  return false;
}

async function loadModule(root, folder, name) {
  const file = path.resolve(root, folder, name);
  const esm = inModulePackage(path.dirname(file));
  return (
    tryRequire(file) ||
    (esm ? await tryImport(`${file}.js`) : tryRequire(`${file}.js`)) ||
    (await tryImport(`${file}.mjs`)) ||
    tryRequire(`${file}.cjs`) ||
    require(require.resolve(name, { paths: [root, path.resolve(root, folder)] }))
  );
}

async function loadHandler(root, full) {
  if (full.includes('..')) {
    throw new RuntimeError('MalformedHandlerName', `'${full}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.`);
  }
  const last = path.basename(full);
  const folder = full.substring(0, full.indexOf(last));
  const match = /^([^.]*)\.(.*)$/.exec(last);
  if (!match) throw new RuntimeError('MalformedHandlerName', 'Bad handler');
  let loaded;
  try {
    loaded = await loadModule(root, folder, match[1]);
  } catch (error) {
    if (error instanceof SyntaxError) throw wrapped('UserCodeSyntaxError', error);
    if (error && error.code === 'MODULE_NOT_FOUND') throw wrapped('ImportModuleError', error);
    throw error;
  }
  const find = (from) => match[2].split('.').reduce((at, key) => at && at[key], from);
  let handler = find(loaded);
  if (!handler && modern && loaded.default) handler = find(loaded.default);
  if (!handler) throw new RuntimeError('HandlerNotFound', `${full} is undefined or not exported`);
  if (typeof handler !== 'function') throw new RuntimeError('HandlerNotFound', `${full} is not a function`);
  if (modern && handler.length >= 3 && !handler[STREAMING]) {
    throw new RuntimeError('CallbackHandlerDeprecated', 'ERROR: AWS Lambda has removed support for callback-based function handlers starting with Node.js 24. You need to modify this function to use a supported handler signature to use Node.js 24 or later.');
  }
  if (handler[STREAMING]) {
    throw new RuntimeError('MalformedStreamingHandler', 'Lamington does not run streaming handlers yet.');
  }
  return handler;
}

function wrapped(name, error) {
  const made = new RuntimeError(name, String(error));
  made.stack = error.stack;
  return made;
}

// One invocation

const shared = {
  functionVersion: environment.AWS_LAMBDA_FUNCTION_VERSION,
  functionName: environment.AWS_LAMBDA_FUNCTION_NAME,
  memoryLimitInMB: environment.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
  logGroupName: environment.AWS_LAMBDA_LOG_GROUP_NAME,
  logStreamName: environment.AWS_LAMBDA_LOG_STREAM_NAME,
};

/** What happens when the event loop drains before the invocation has ended. */
let whenIdle = null;
/** The invocation that runs, null in between. */
let current = null;
let handler;
let isAsync = false;

class Invocation {
  constructor(id) {
    this.id = id;
    this.finished = false;
    this.completing = false;
    this.waits = true;
  }

  reply(kind, value) {
    if (this.finished) return;
    let text;
    try {
      text = JSON.stringify(value === undefined ? null : value);
      if (text === undefined) text = 'null';
    } catch {
      kind = ERROR;
      const name = modern ? 'JSONStringifyError' : '';
      const error = name
        ? new RuntimeError(name, 'Unable to stringify response body')
        : new Error('Unable to stringify response body');
      text = JSON.stringify(describe(error));
    }
    this.finished = true;
    whenIdle = null;
    current = null;
    send(kind, text);
    setImmediate(next);
  }

  fail(error, kind = legacy ? HANDLED_ERROR : ERROR) {
    if (this.finished) return;
    logError('Invoke Error', error);
    this.reply(kind, describe(error));
  }

  callback(error, result) {
    if (error !== undefined && error !== null) this.fail(error);
    else if (!this.waits) this.reply(RESULT, result);
    else whenIdle = () => this.reply(RESULT, result);
  }

  done(error, result) {
    if (error !== undefined && error !== null) this.fail(error);
    else this.reply(RESULT, result);
  }

  /** Let only the first of the ways to complete count. */
  once(method) {
    return (...given) => {
      if (this.completing) return;
      this.completing = true;
      method.apply(this, given);
    };
  }

  drained() {
    if (isAsync) {
      this.fail(new RuntimeError('NodeJsExit', 'The Lambda runtime client detected an unexpected Node.js exit code. This is most commonly caused by a Promise that was never settled. For more information, see https://nodejs.org/docs/latest/api/process.html#process_exit_codes'));
    } else if (declared < 1) {
      this.reply(ERROR, { errorMessage: `RequestId: ${this.id} Process exited before completing request` });
    } else {
      this.reply(RESULT, null);
    }
  }

  context(arn, clientContext, deadline) {
    const invocation = this;
    const completion = modern ? {} : {
      get callbackWaitsForEmptyEventLoop() { return invocation.waits; },
      set callbackWaitsForEmptyEventLoop(value) { invocation.waits = value; },
      succeed: this.once((value) => this.done(null, value)),
      fail: this.once((error) => this.done(error === undefined || error === null ? 'handled' : error)),
      done: this.once(this.done),
    };
    return Object.defineProperties(completion, Object.getOwnPropertyDescriptors({
      ...shared,
      clientContext,
      identity: undefined,
      invokedFunctionArn: arn,
      awsRequestId: this.id,
      tenantId: undefined,
      ...(modern ? { xRayTraceId: environment._X_AMZN_TRACE_ID } : {}),
      getRemainingTimeInMillis: () => deadline - Date.now(),
    }));
  }
}

function isPromise(value) {
  return value && typeof value.then === 'function';
}

/** Wait for the next event, with everything else at a standstill, and run the handler on it. */
function next() {
  const frame = receive();
  const idSize = frame.readUInt16LE(1), arnSize = frame.readUInt16LE(3);
  const traceSize = frame.readUInt16LE(5), clientSize = frame.readUInt16LE(7);
  const deadline = frame.readDoubleLE(9);
  let at = HEADER_BYTES;
  const id = frame.latin1Slice(at, (at += idSize));
  const arn = frame.latin1Slice(at, (at += arnSize));
  const trace = frame.latin1Slice(at, (at += traceSize));
  const client = frame.utf8Slice(at, (at += clientSize));
  currentRequestId = id;
  if (trace !== (environment._X_AMZN_TRACE_ID || '')) {
    if (trace) environment._X_AMZN_TRACE_ID = trace;
    else delete environment._X_AMZN_TRACE_ID;
  }
  const invocation = new Invocation(id);
  current = invocation;
  whenIdle = () => invocation.drained();
  try {
    const context = invocation.context(arn, client ? JSON.parse(client) : undefined, deadline);
    const event = JSON.parse(frame.utf8Slice(at, frame.length));
    const callback = invocation.once(invocation.callback);
    const result = modern ? handler(event, context) : handler(event, context, callback);
    if (isPromise(result)) {
      result.then(
        invocation.once((value) => invocation.reply(RESULT, value)),
        invocation.once((error) => invocation.done(error === undefined || error === null ? 'handled' : error))
      );
    } else if (modern) {
      invocation.reply(RESULT, result);
    }
  } catch (error) {
    invocation.completing = true;
    invocation.fail(error === undefined || error === null ? 'handled' : error, ERROR);
  }
}

// The process

function dieOf(error, status, payload) {
  logError('Uncaught Exception', error);
  if (current) send(FATAL, JSON.stringify(payload));
  else if (handler === undefined) send(INIT_ERROR, JSON.stringify(payload));
  process.exit(status);
}

process.on('uncaughtException', (error) => dieOf(error, 129, describe(error)));

process.on('unhandledRejection', (reason, promise) => {
  if (modern) {
    logError('Unhandled Promise Rejection', reason);
    process.exit(1);
  }
  const error = new RuntimeError('UnhandledPromiseRejection', String(reason));
  error.reason = reason;
  error.promise = promise;
  dieOf(error, 128, {
    ...describe(error),
    ...(legacy ? {} : { reason: JSON.parse(JSON.stringify(reason === undefined ? null : reason, withMembers)), promise: {} }),
  });
});

process.on('beforeExit', () => {
  const idle = whenIdle;
  whenIdle = null;
  if (idle) idle();
});

async function main() {
  patchConsole();
  if (!/^(1|true)$/.test(environment.AWS_LAMBDA_NODEJS_NO_GLOBAL_AWSLAMBDA || '')) {
    globalThis.awslambda = {
      streamifyResponse: (given) => Object.assign(given, { [STREAMING]: 'response' }),
    };
  }
  let loaded;
  try {
    loaded = await loadHandler(environment.LAMBDA_TASK_ROOT, environment._HANDLER);
  } catch (error) {
    logError('Uncaught Exception', error);
    send(INIT_ERROR, JSON.stringify({ ...describe(error) }));
    process.exit(129);
  }
  handler = loaded;
  isAsync = handler.constructor && handler.constructor.name === 'AsyncFunction';
  send(READY, '');
  setImmediate(next);
}

main();
