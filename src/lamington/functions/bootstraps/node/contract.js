/*
 * What the declared runtime identifier promises. The installed version of Node.js only runs it.
 */
'use strict';

/** What a function is held to that says nothing of its runtime. */
const UNDECLARED = 22;

/** The contract of the identifier in AWS_EXECUTION_ENV; `nodejs` alone is Node.js 0.10. */
function readContract(variables) {
  const declared = /nodejs([\d.]*)/.exec(variables.AWS_EXECUTION_ENV || '');
  const release = declared ? parseFloat(declared[1]) || 0 : UNDECLARED;
  return {
    release,
    /** Up to nodejs8.10: `stackTrace`, no level column, handled errors that are told apart. */
    legacy: release < 10,
    /** From nodejs24.x: promises and plain values only, no callbacks. */
    modern: release >= 24,
    passesCallback: release >= 4 && release < 24,
    awaitsPromises: release >= 8,
    mustComplete: release < 4,
    hasStreams: release >= 14,
    jsonLogs: (variables.AWS_LAMBDA_LOG_FORMAT || '').toUpperCase() === 'JSON',
    logLevel: (variables.AWS_LAMBDA_LOG_LEVEL || '').toUpperCase(),
    hidesGlobal: /^(1|true)$/.test(variables.AWS_LAMBDA_NODEJS_NO_GLOBAL_AWSLAMBDA || ''),
  };
}

/** The marks by which a handler tells that it streams its response; they are AWS's. */
const STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming');
const HIGH_WATER_MARK = Symbol.for('aws.lambda.runtime.handler.streaming.highWaterMark');

module.exports = { readContract, STREAMING, HIGH_WATER_MARK };
