/*
 * Starts the Node.js runtime of one execution environment. It knows the standard library only
 * (Node.js 16 or later).
 *
 * With `--spare` the process is started ahead of need, for no function yet: it loads all that it
 * can and waits for the engine to say what it is to become.
 */
'use strict';

const { readContract } = require('./contract.js');
const { receiveConfiguration } = require('./frames.js');
const { Runtime } = require('./runtime.js');

/** What functions load most, and what takes time: modules of Node.js's own. */
const LOADED_AHEAD = [
  'async_hooks', 'buffer', 'child_process', 'crypto', 'dns', 'events', 'http', 'https', 'net', 'os', 'querystring',
  'stream', 'stream/promises', 'timers/promises', 'tls', 'url', 'util', 'worker_threads', 'zlib',
];
/** Variables of ours begin so; functions do not see them. */
const OWN_PREFIX = 'LAMINGTON_';

const variables = process.env;

/** Become the environment of a function. */
function configure(configuration) {
  for (const name of Object.keys(variables)) delete variables[name];
  Object.assign(variables, configuration.variables);
  process.chdir(configuration.task_root);
  require('module').Module._initPaths();
}

async function main() {
  const isSpare = process.argv[2] === '--spare';
  process.argv.length = 2;
  if (isSpare) {
    for (const name of LOADED_AHEAD) require(name);
    require('./streams.js');
    await import('./preload.mjs');
    configure(receiveConfiguration());
  }
  for (const name of Object.keys(variables)) {
    if (name.startsWith(OWN_PREFIX)) delete variables[name];
  }
  const runtime = new Runtime(readContract(variables));
  await runtime.start(variables.LAMBDA_TASK_ROOT, variables._HANDLER);
}

main();
