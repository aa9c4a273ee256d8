#!/usr/bin/env node
// The entry of the command line: starts the program, if this Node can.
'use strict';

var complaint = require('./node-version.cjs');

if (complaint === '') {
  require('../program/main.cjs');
} else {
  process.stderr.write(complaint + '\n');
  process.exitCode = 1;
}
