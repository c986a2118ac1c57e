/*
 * The frames between this process and the engine, over the socket on descriptor 3.
 *
 * A frame is a length (u32), its kind (u8) and as many bytes. Reading blocks, and so between two
 * invocations the whole process stands still: what a handler left behind (timers, sockets) goes on
 * with the next event, as in AWS's frozen environments. Writing blocks too: a stream whose reader
 * is slow fills the socket, not the memory.
 */
'use strict';

const fs = require('fs');

const DESCRIPTOR = 3;
const HEADER_BYTES = 17;
const REPLY_BYTES = 13;
const BUFFER_BYTES = 65536;
const CHUNK_BYTES = 65536;
/** How many times in a row memory and processor time are measured, and then every so often. */
const SAMPLED_AT_FIRST = 4;
const SAMPLED_EVERY = 64;

const Kind = {
  READY: 1, INIT_ERROR: 2, RESULT: 3, ERROR: 4, FATAL: 5, HANDLED_ERROR: 6, STREAM_BEGIN: 7, STREAM_CHUNK: 8,
};
const CONFIGURE = 3;

const buffer = Buffer.allocUnsafe(BUFFER_BYTES);
let filled = 0;

function readSome(target, at, size) {
  for (;;) {
    try {
      const got = fs.readSync(DESCRIPTOR, target, at, size, null);
      if (got === 0) process.reallyExit(0);
      return got;
    } catch (error) {
      if (error.code === 'ECONNRESET') process.reallyExit(0);
      if (error.code !== 'EAGAIN' && error.code !== 'EINTR') throw error;
    }
  }
}

/** The next frame from its kind on; it holds until the frame after it is received. */
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

/** Wait for the next invocation. */
function receiveInvocation() {
  const frame = receive();
  const idSize = frame.readUInt16LE(1), arnSize = frame.readUInt16LE(3);
  const traceSize = frame.readUInt16LE(5), clientSize = frame.readUInt16LE(7);
  const deadlineMs = frame.readDoubleLE(9);
  let at = HEADER_BYTES;
  return {
    deadlineMs,
    requestId: frame.latin1Slice(at, (at += idSize)),
    functionArn: frame.latin1Slice(at, (at += arnSize)),
    traceId: frame.latin1Slice(at, (at += traceSize)),
    clientContext: frame.utf8Slice(at, (at += clientSize)),
    payload: frame.utf8Slice(at, frame.length),
  };
}

/** Wait for what a process that was started ahead of need is to become. */
function receiveConfiguration() {
  const frame = receive();
  if (frame[0] !== CONFIGURE) throw new Error(`frame of kind ${frame[0]} instead of a configuration`);
  return JSON.parse(frame.utf8Slice(1, frame.length));
}

/** Write all of it, whatever the descriptor does; it is gone with the engine. */
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

const outgoing = Buffer.allocUnsafe(CHUNK_BYTES + REPLY_BYTES);
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

function finish(frame, kind, size) {
  frame.writeUInt32LE(size + REPLY_BYTES - 4, 0);
  frame[4] = kind;
  frame.writeUInt32LE(memoryKb, 5);
  frame.writeUInt32LE(cpuUs, 9);
  writeAll(DESCRIPTOR, frame, size + REPLY_BYTES);
}

function send(kind, text) {
  if (sent < SAMPLED_AT_FIRST || sent % SAMPLED_EVERY === 0) sample();
  sent += 1;
  // A string of n UTF-16 units needs 3n bytes of UTF-8 at most.
  const fits = text.length * 3 + REPLY_BYTES <= outgoing.length;
  const frame = fits ? outgoing : Buffer.allocUnsafe(REPLY_BYTES + Buffer.byteLength(text));
  finish(frame, kind, frame.write(text, REPLY_BYTES, 'utf8'));
}

/** Send a piece of a streamed response, in as many frames as it needs. */
function sendChunk(bytes) {
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
    const size = Math.min(CHUNK_BYTES, bytes.length - at);
    outgoing.set(bytes.subarray(at, at + size), REPLY_BYTES);
    finish(outgoing, Kind.STREAM_CHUNK, size);
  }
}

module.exports = { Kind, receiveInvocation, receiveConfiguration, send, sendChunk, writeAll };
