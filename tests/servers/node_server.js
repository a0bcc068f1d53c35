// SPDX-License-Identifier: MIT
// An HTTP server that tells its clients, and its log, whom they come from. Argument 1: the port. Argument 2: "alone",
// or how the workers of a cluster come by their clients: "handed" (the primary accepts and hands them out), "shared"
// (each accepts from the one listener).
'use strict';
const cluster = require('cluster');
const http = require('http');

const [port, how] = process.argv.slice(2);
const WORKERS = 2;

function serve() {
  http.createServer((request, response) => {
    const {remoteAddress, remotePort} = request.socket;
    console.log(`served ${remoteAddress} ${remotePort}`);
    response.end(`${remoteAddress} ${remotePort} ${process.pid}\n`);
  }).on('clientError', (error, socket) => {
    console.log(`refused ${socket.remoteAddress} ${socket.remotePort} ${error.code}`);
    socket.destroy();
  }).on('error', (error) => {
    console.log(`error ${error}`);
  }).listen(port, () => console.log('listening'));
}

if (how !== 'alone' && cluster.isPrimary) {
  cluster.schedulingPolicy = how === 'handed' ? cluster.SCHED_RR : cluster.SCHED_NONE;
  for (let i = 0; i < WORKERS; i++) cluster.fork();
} else {
  serve();
}
