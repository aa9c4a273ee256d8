#!/usr/bin/env node
// The program's entry.
import { run } from './program.ts';

// Ended rather than left to end by itself: a stdin that stays open, or a socket that a host keeps, must not hold it.
void run(process.argv.slice(2)).then((status) => process.exit(status));
