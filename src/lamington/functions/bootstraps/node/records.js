/*
 * The log records of console methods and of failed invocations, in text or in JSON.
 */
'use strict';

const util = require('util');
const { writeAll } = require('./frames.js');

/** Stands for a line break within one record. */
const RECORD_BREAK = '\x1e';
const LEVELS = { TRACE: 0, DEBUG: 1, INFO: 2, WARN: 3, ERROR: 4, FATAL: 5 };
const METHODS = { trace: 'TRACE', debug: 'DEBUG', info: 'INFO', warn: 'WARN', error: 'ERROR', fatal: 'FATAL' };
const SDK_PACKAGE = /Cannot find (?:module|package) '(aws-sdk|@aws-sdk\/[^'/]+|@smithy\/[^'/]+)/;

function errorMembers(error) {
  return {
    errorType: (error.constructor && error.constructor.name) || 'UnknownError',
    errorMessage: error.message,
    stackTrace: typeof error.stack === 'string' ? error.stack.split('\n') : error.stack,
  };
}

function replaceErrors(_, value) {
  return value instanceof Error ? { ...errorMembers(value), ...value } : value;
}

/** Writes what belongs to one invocation after another; `requestId` is the one that runs. */
class Records {
  constructor(contract, errors) {
    this.contract = contract;
    this.errors = errors;
    this.requestId = contract.modern ? '-' : undefined;
  }

  write(text) {
    const line = text.includes('\n') ? text.replace(/\n/g, RECORD_BREAK) : text;
    const record = Buffer.from(`${line}\n`);
    writeAll(1, record, record.length);
  }

  text(level, parts) {
    const column = this.contract.legacy ? '' : `${level}\t`;
    return `${new Date().toISOString()}\t${this.requestId}\t${column}${util.format(...parts)}`;
  }

  json(level, parts) {
    const entry = { timestamp: new Date().toISOString(), level, requestId: this.requestId };
    if (parts.length === 1) {
      entry.message = parts[0];
      try {
        return JSON.stringify(entry, replaceErrors);
      } catch {
        entry.message = util.format(parts[0]);
        return JSON.stringify(entry);
      }
    }
    entry.message = util.format(...parts);
    const given = this.contract.modern ? parts.slice(1) : parts;
    const error = given.find((part) => part instanceof Error);
    return JSON.stringify(error ? { ...entry, ...errorMembers(error) } : entry);
  }

  /** Let the console write records. A call without arguments writes `undefined`, as on AWS. */
  patchConsole() {
    const { jsonLogs, logLevel } = this.contract;
    const least = logLevel in LEVELS ? LEVELS[logLevel] : LEVELS.TRACE;
    for (const [method, level] of Object.entries(METHODS)) {
      console[method] = LEVELS[level] < least ? () => {} : (message, ...rest) => {
        const parts = [message, ...rest];
        this.write(jsonLogs ? this.json(level, parts) : this.text(level, parts));
      };
    }
    console.log = console.info;
  }

  /** Log an error that ends an invocation or the environment. */
  failure(title, error) {
    if (this.contract.legacy) {
      const told = title === 'Invoke Error' ? JSON.stringify(this.errors.describe(error)) : (error && error.stack) || error;
      this.write(this.text('ERROR', [told]));
    } else if (this.contract.jsonLogs) {
      console.error(this.errors.intoError(error));
    } else {
      console.error(title, `\t${this.errors.render(error)}`);
    }
    this.hintAtSdk(error);
  }

  /** Before nodejs10.x the module is named, and the trace follows without its message. */
  legacyInitFailure(error, handlerSetting) {
    let told = error;
    if (error instanceof Error) {
      const module = handlerSetting.replace(/\.[^./]*$/, '');
      const title = error instanceof SyntaxError ? `Syntax error in module '${module}'`
        : error.code === 'MODULE_NOT_FOUND' ? `Unable to import module '${module}'` : 'module initialization error';
      const place = error instanceof SyntaxError ? error.stack : error.stack.slice(error.stack.indexOf('\n    at ') + 1);
      told = `${title}: ${error.name}\n${place}`;
    }
    this.write(this.text('ERROR', [told]));
    this.hintAtSdk(error);
  }

  /** AWS's runtimes bring the SDK along, so that nobody expects it to be missing. */
  hintAtSdk(error) {
    if (!error || !/MODULE_NOT_FOUND$|ImportModuleError$/.test(error.code || error.name)) return;
    const missing = SDK_PACKAGE.exec(error.message);
    if (missing) {
      console.warn(
        `Lamington does not bundle the AWS SDK that AWS's own runtime brings along: run \`npm install ${missing[1]}\` in the function's package, or add a layer that holds it.`
      );
    }
  }
}

module.exports = { Records };
