#!/usr/bin/env node
// The entry of the bundled program; scripts/bundle.ts puts the version and the build's name in. It does what
// src/cli/main.ts does, and loads the program's files, each a function with what a CommonJS module is given, with V8's
// bytecode.
//
// Node's own compile cache is made when a file is compiled, before anything in it has run, and has none of the functions
// that are compiled at their first call: those were compiled anew in each start, and took a third of it. This one is made
// when the program ends, and has what has run.
'use strict';
const {
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} = require('node:fs');
const { join, resolve } = require('node:path');
const { Script } = require('node:vm');

const dist = join(module.path, '..');
const build = '__BUILD__';
const version = '__VERSION__';

/** Bytecode is for one build of the program, with whose name it begins. Whether it is for this Node and processor, V8 checks. */
const name = `${version}-${process.version}-${process.arch}`;

/**
 * Beside the program: whoever may write there may change the program itself. Else in the user's own folder, never in
 * another's: bytecode from another user would be theirs to choose, and sudo may leave root the HOME of who called it.
 */
const folders = [
  () => join(dist, 'compile-cache', name),
  () => {
    const cache = process.env.XDG_CACHE_HOME || join(require('node:os').homedir(), '.cache');
    if (!isOwn(cache)) throw new Error('another user’s folder');
    return join(cache, 'babelhost', name);
  },
];

/** Whether a folder, or else the nearest one above it that is there, is this user's. */
function isOwn(folder) {
  try {
    return statSync(folder).uid === process.geteuid();
  } catch {
    return folder !== '/' && isOwn(resolve(folder, '..'));
  }
}

/** The bytes of a file of this user's, root's or the program's owner's. Not waiting for who writes to a FIFO. */
function readTrusted(file) {
  const descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const { uid } = fstatSync(descriptor);
    const trusted = uid === process.geteuid() || uid === 0 || uid === statSync(module.filename).uid;
    if (!trusted) throw new Error('another user’s file');
    return readFileSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** The modules by their files, and the scripts of those that were compiled without bytecode. */
const modules = new Map();
const compiled = new Map();

function readBytecode(file) {
  for (const folder of folders) {
    try {
      const bytes = readTrusted(join(folder(), `${file}.bytecode`));
      if (bytes.toString('latin1', 0, build.length) === build) return bytes.subarray(build.length);
    } catch {
      // Not there, or not for us to read or to trust: compiled then.
    }
  }
  return undefined;
}

function load(file) {
  const known = modules.get(file);
  if (known !== undefined) return known.exports;
  const module = { exports: {} };
  modules.set(file, module);
  const filename = join(dist, file);
  const source = readFileSync(filename, 'latin1');
  const cachedData = readBytecode(file);
  const script = new Script(source, { filename, cachedData });
  if (cachedData === undefined || script.cachedDataRejected) compiled.set(file, script);
  script.runInThisContext()(module.exports, requireFrom, module, filename, dist);
  return module.exports;
}

/** The program's files require one another, and Node's own modules. */
function requireFrom(id) {
  return id.startsWith('./') ? load(id.slice(2)) : require(id);
}

/** Writes the bytecode that was missing, for the next start. */
function keepBytecode() {
  for (const folder of folders) {
    try {
      mkdirSync(folder(), { recursive: true, mode: 0o755 });
      for (const [file, script] of compiled) {
        const path = join(folder(), `${file}.bytecode`);
        const beside = `${path}.${process.pid}`;
        // V8 does not check its content: a file that is half there after a loss of power must not be named.
        const bytes = Buffer.concat([Buffer.from(build), script.createCachedData()]);
        writeFileSync(beside, bytes, { flag: 'wx', mode: 0o644, flush: true });
        renameSync(beside, path);
      }
      return;
    } catch {
      // A full disk, or no right to write here: it is only slower without.
    }
  }
}

void load('program.cjs')
  .run(process.argv.slice(2))
  .then((status) => {
    if (compiled.size > 0) keepBytecode();
    // Ended rather than left to end by itself: a stdin that stays open, or a socket that a host keeps, must not hold it.
    process.exit(status);
  });
