// Babel's parser: from the code cache that prepare.mjs made, if it fits this Node and this parser, else from its package.
'use strict';
const { readFileSync } = require('node:fs');
const path = require('node:path');
const { Script } = require('node:vm');

const folder = path.dirname(module.filename);

/** Where prepare.mjs puts the parser as a script, V8's cache of its compiled functions, and what they were made from. */
const cached = {
  script: path.join(folder, 'parser.js'),
  cache: path.join(folder, 'parser.cache'),
  origin: path.join(folder, 'parser.json'),
};

function read(file, encoding) {
  try {
    return readFileSync(file, encoding);
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** The parser from its cache; undefined if there is none or it was made from another parser. */
function fromCache() {
  const origin = read(cached.origin, 'utf8');
  if (origin === undefined) return undefined;
  const package_ = read(path.join(folder, 'node_modules/@babel/parser/package.json'), 'utf8');
  if (package_ === undefined || JSON.parse(package_).version !== JSON.parse(origin).version) return undefined;
  // The script is ASCII, so that V8 need not decode it.
  const script = new Script(readFileSync(cached.script, 'latin1'), {
    filename: cached.script,
    cachedData: readFileSync(cached.cache),
  });
  // V8 rejects what another version of it wrote; it has then compiled the script itself, which is as good.
  return script.runInThisContext()();
}

module.exports = fromCache() ?? require('@babel/parser');
