/*
 * From `[folder/]file.export[.nested]` to the handler, by the rules of each contract.
 */
'use strict';

const fs = require('fs');
const path = require('path');
const { createRequire } = require('module');
const { pathToFileURL } = require('url');
const { STREAMING } = require('./contract.js');

const CALLBACK_REFUSED =
  'ERROR: AWS Lambda has removed support for callback-based function handlers starting with Node.js 24. You need to modify this function to use a supported handler signature to use Node.js 24 or later. For more information see https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html.';

/** Loads as AWS's runtime does, by whose name errors tell who has asked. */
const load = createRequire('/var/runtime/index.mjs');

function tryRequire(file) {
  return fs.existsSync(file) ? load(file) : undefined;
}

async function tryImport(file) {
  return fs.existsSync(file) ? import(pathToFileURL(file).href) : undefined;
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

function requireByName(root, folder, name) {
  return load(load.resolve(name, { paths: [root, path.resolve(root, folder)] }));
}

async function loadModule(root, folder, name) {
  const file = path.resolve(root, folder, name);
  const found = tryRequire(file);
  if (found) return found;
  const isModule = fs.existsSync(`${file}.js`) && inModulePackage(path.dirname(file));
  return (
    (isModule ? await tryImport(`${file}.js`) : tryRequire(`${file}.js`)) ||
    (await tryImport(`${file}.mjs`)) ||
    tryRequire(`${file}.cjs`) ||
    requireByName(root, folder, name)
  );
}

/** From nodejs24.x everything is imported, in this order. */
async function importModule(root, folder, name) {
  const file = path.resolve(root, folder, name);
  for (const extension of ['', '.js', '.mjs', '.cjs']) {
    const found = await tryImport(file + extension);
    if (found) return found;
  }
  return requireByName(root, folder, name);
}

function findExport(from, names, modern) {
  return names.split('.').reduce((at, key) => (at && (!modern || typeof at === 'object') ? at[key] : undefined), from);
}

function wrapped(error, { contract, errors, records }) {
  if (error instanceof SyntaxError) {
    const made = errors.runtimeError('UserCodeSyntaxError', String(error));
    if (contract.modern) made.stack = error.stack;
    // AWS keeps the place to itself. It is the first thing that one wants to know.
    else if (!contract.jsonLogs) records.write(error.stack.split('\n\n')[0]);
    return made;
  }
  if (contract.modern && !(error instanceof Error)) return error;
  return error.code === 'MODULE_NOT_FOUND' ? errors.runtimeError('ImportModuleError', String(error)) : error;
}

/** The function that the handler setting names. Throws what the init phase fails with. */
async function loadHandler(root, setting, parts) {
  const { contract, errors } = parts;
  if (setting.includes('..')) {
    throw errors.runtimeError('MalformedHandlerName', `'${setting}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.`);
  }
  const last = path.basename(setting);
  const folder = setting.substring(0, setting.indexOf(last));
  const match = /^([^.]*)\.(.*)$/.exec(last);
  if (!match) throw errors.runtimeError('MalformedHandlerName', 'Bad handler');
  const [, name, names] = match;
  let loaded;
  try {
    loaded = await (contract.modern ? importModule : loadModule)(root, folder, name);
  } catch (error) {
    throw wrapped(error, parts);
  }
  let handler = findExport(loaded, names, contract.modern);
  if (!handler && contract.modern && loaded.default) handler = findExport(loaded.default, names, true);
  if (!handler) throw errors.runtimeError('HandlerNotFound', `${setting} is undefined or not exported`);
  if (typeof handler !== 'function') throw errors.runtimeError('HandlerNotFound', `${setting} is not a function`);
  const streaming = handler[STREAMING];
  if (streaming && streaming !== 'response') {
    throw errors.runtimeError('MalformedStreamingHandler', 'Only response streaming is supported.');
  }
  if (contract.modern && handler.length >= 3 && !streaming) {
    throw errors.runtimeError('CallbackHandlerDeprecated', CALLBACK_REFUSED);
  }
  return handler;
}

/** The form of init errors before nodejs10.x, where the module and not the handler is named. */
async function loadLegacyHandler(root, setting) {
  const last = path.basename(setting);
  const folder = setting.substring(0, setting.indexOf(last));
  const match = /^([^.]*)\.(.*)$/.exec(last);
  if (!match) throw `Bad handler ${setting}`;
  const [, name, names] = match;
  const file = path.resolve(root, folder, name);
  const loaded = load(file);
  const handler = findExport(loaded, names, false);
  if (!handler) throw `Handler '${names}' missing on module '${folder}${name}'`;
  return handler;
}

module.exports = { loadHandler, loadLegacyHandler };
