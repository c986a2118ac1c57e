/*
 * Errors as callers get them, and those of the runtime's own, in the forms of each contract.
 */
'use strict';

const util = require('util');

const UNREADABLE =
  'callback called with Error argument, but there was a problem while retrieving one or more of its message, name, and stack';
const WITHOUT_SUFFIX = new Set(['MalformedStreamingHandler', 'InvalidStreamingOperation']);

function hasErrorMembers(value) {
  const members = value && [value.name, value.message, value.stack];
  return Boolean(members) && members.every((member) => member && typeof member === 'string');
}

/** ASCII DEL cannot stand in a header; AWS's client writes it out everywhere. */
function withoutDelete(text) {
  return text.replace(/\x7F/g, '%7F');
}

/** What logs show of an error that JSON would leave out. */
function withMembers(_, value) {
  if (!(value instanceof Error)) return value;
  const members = { errorType: value.name, errorMessage: value.message, code: value.code, ...value };
  if (typeof value.stack === 'string') members.stack = value.stack.split('\n');
  return members;
}

/** The form before nodejs10.x: `stackTrace`, and no type for what is not an Error. */
function describeLegacy(error) {
  if (util.types.isNativeError(error) || hasErrorMembers(error)) {
    const lines = error.stack.split('\n').filter((line) => /^\s*at /.test(line));
    return {
      errorMessage: error.message,
      errorType: error.name,
      stackTrace: lines.map((line) => line.trim().replace(/^at /, '')),
    };
  }
  return { errorMessage: typeof error === 'string' ? error : JSON.stringify(error) };
}

function describeCurrent(error, modern) {
  const isError = modern ? error instanceof Error : util.types.isNativeError(error) || hasErrorMembers(error);
  if (isError) {
    return {
      errorType: error.name && withoutDelete(error.name),
      errorMessage: error.message && withoutDelete(error.message),
      trace: modern && !error.stack ? [] : withoutDelete(error.stack).split('\n'),
    };
  }
  return { errorType: typeof error, errorMessage: modern ? String(error) : error.toString(), trace: [] };
}

/** Errors by contract. */
class Errors {
  constructor(contract) {
    this.contract = contract;
  }

  /** An error of the runtime's own, called `Runtime.<name>`. */
  runtimeError(name, message) {
    if (this.contract.modern) {
      const called = /Error$/.test(name) || WITHOUT_SUFFIX.has(name) ? name : `${name}Error`;
      const Made = { [called]: class extends Error {} }[called];
      return Object.assign(new Made(message), { name: `Runtime.${name}` });
    }
    const Made = { [name]: class extends Error {} }[name];
    Object.defineProperty(Made.prototype, 'name', { value: `Runtime.${name}` });
    return new Made(message);
  }

  /** The payload that the caller gets for what was thrown or handed over as an error. */
  describe(error) {
    try {
      return this.contract.legacy ? describeLegacy(error) : describeCurrent(error, this.contract.modern);
    } catch {
      return { errorType: 'handled', errorMessage: UNREADABLE, ...(this.contract.modern ? { trace: [] } : {}) };
    }
  }

  /** The text of a response, or an error where JSON cannot hold it. */
  serialize(value) {
    let text;
    try {
      text = JSON.stringify(value === undefined ? null : value);
    } catch {
      const message = 'Unable to stringify response body';
      throw this.contract.modern ? this.runtimeError('JSONStringifyError', message) : new Error(message);
    }
    return text === undefined ? 'null' : text;
  }

  /** Whatever was thrown, as an Error for the log. It throws what cannot be turned into text. */
  intoError(value) {
    if (value instanceof Error) return value;
    return new Error(this.contract.modern ? String(value) : value);
  }

  /** How an error stands in the log, in text. */
  render(error) {
    const shown = this.intoError(error);
    try {
      return JSON.stringify(shown, withMembers);
    } catch {
      return JSON.stringify(this.describe(error));
    }
  }
}

module.exports = { Errors };
