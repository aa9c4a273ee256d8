// What is wrong with the Node that runs this: a sentence, or nothing. In the syntax of the oldest, as is every file in
// this folder: a Node that cannot parse a file says so in words that help nobody.
'use strict';

var needed = require('../../package.json').engines.node.replace('>=', '');

function isOlder(version, than) {
  var mine = version.split('.');
  var least = than.split('.');
  for (var i = 0; i < least.length; i++) {
    if (Number(mine[i]) !== Number(least[i])) return Number(mine[i]) < Number(least[i]);
  }
  return false;
}

if (isOlder(process.versions.node, needed)) {
  module.exports =
    'babelhost needs Node.js ' +
    needed +
    ' or newer, and this is Node.js ' +
    process.versions.node +
    ' (' +
    process.execPath +
    '): install a newer one and start babelhost with it.';
} else {
  module.exports = '';
}
