/*
 * The response stream of streaming handlers, and the metadata that may stand before its body.
 *
 * It is a whole stream.Writable; AWS's shows a part of one.
 */
'use strict';

const { Writable } = require('stream');
const { Kind, send, sendChunk } = require('./frames.js');

const CONTENT_TYPE = 'application/octet-stream';

class ResponseStream extends Writable {
  constructor(errors, highWaterMark) {
    super(highWaterMark === undefined ? {} : { highWaterMark });
    this.runtimeErrors = errors;
    this.contentType = CONTENT_TYPE;
    this.isWritten = false;
    this.hasBegun = false;
    Object.defineProperty(this, '_onBeforeFirstWrite', { value: undefined, writable: true });
  }

  setContentType(contentType) {
    if (this.isWritten) {
      throw this.runtimeErrors.runtimeError('InvalidStreamingOperation', 'Cannot set content-type, too late.');
    }
    this.contentType = contentType;
  }

  /** Whatever is no text and no bytes is written as JSON; nothing at all is a TypeError. */
  write(chunk, encoding, callback) {
    void chunk.length;
    const given = typeof chunk === 'string' || chunk instanceof Uint8Array ? chunk : JSON.stringify(chunk);
    if (!this.isWritten && typeof this._onBeforeFirstWrite === 'function') {
      this._onBeforeFirstWrite((bytes) => super.write(bytes));
    }
    const hasRoom = super.write(given, encoding, callback);
    this.isWritten = true;
    return hasRoom;
  }

  begin() {
    if (this.hasBegun) return;
    this.hasBegun = true;
    send(Kind.STREAM_BEGIN, this.contentType);
  }

  _write(chunk, _encoding, callback) {
    this.begin();
    sendChunk(chunk);
    callback();
  }

  _final(callback) {
    this.begin();
    callback();
  }
}

module.exports = { ResponseStream };
