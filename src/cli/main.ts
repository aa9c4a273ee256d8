// The program's entry. What it loads is compiled once: Node keeps V8's bytecode for the next start.
import { enableCompileCache } from 'node:module';
import { findCompileCache } from './compile-cache.ts';

const folder = findCompileCache();
if (folder !== undefined) enableCompileCache(folder);

// Ended rather than left to end by itself: a stdin that stays open, or a socket that a host keeps, must not hold it.
void import('./program.ts').then(({ run }) => run(process.argv.slice(2))).then((status) => process.exit(status));
