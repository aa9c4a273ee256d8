// Throws where this Node is too old for the rest: the entries for programs load it first.
'use strict';

var complaint = require('./node-version.cjs');

if (complaint !== '') throw new Error(complaint);
