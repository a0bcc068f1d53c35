// SPDX-License-Identifier: MIT
// Tells who asks it, in a thread that is not node's first: worker_threads.js HOST PORT
const { Worker, isMainThread, workerData } = require('worker_threads');
const http = require('http');

if (isMainThread) {
  const worker = new Worker(__filename, { workerData: process.argv.slice(2) });
  worker.on('message', (line) => console.log(line));
  process.on('SIGTERM', () => process.exit(0));
} else {
  const { parentPort } = require('worker_threads');
  const [host, port] = workerData;
  const server = http.createServer((request, response) => {
    const { remoteAddress, remotePort } = request.socket;
    parentPort.postMessage(`served ${remoteAddress} ${remotePort}`);
    response.end(`${remoteAddress} ${remotePort}`);
  });
  server.on('clientError', (error, socket) => socket.destroy());
  server.listen({ host, port: Number(port), backlog: 511 }, () => parentPort.postMessage('listening'));
}
