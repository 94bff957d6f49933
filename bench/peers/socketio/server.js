// socket.io on ws as a peer of natter-bench, written as its documentation writes a chat: rooms, an event, acknowledgements.

import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { Server } from 'socket.io';

/** Publishes what a load posts: `{"channel":"room","data":...}`. */
function publish(request, response) {
  let body = '';
  request.setEncoding('utf8');
  request.on('data', (part) => (body += part));
  request.on('end', () => {
    const { channel, data } = JSON.parse(body);
    io.to(channel).emit('message', data);
    response.setHeader('Content-Type', 'application/json');
    response.setHeader('Content-Length', 13);
    response.end('{"result":{}}');
  });
}

// Node sets TCP_NODELAY on its HTTP sockets by itself.
const http = createServer(publish);
const io = new Server(http, {
  transports: ['websocket'], // no polling first
  perMessageDeflate: false, // frames go out as they are, as those of the others do
  serveClient: false,
});

io.on('connection', (socket) => {
  socket.on('join', (room, done) => {
    socket.join(room);
    done();
  });
  socket.on('publish', (room, data, done) => {
    io.to(room).emit('message', data);
    done();
  });
});

/** Of a package that socket.io brings or is. */
function version(name) {
  const require = createRequire(import.meta.url);
  return `${name} ${require(`${name}/package.json`).version}`;
}

http.listen(0, '127.0.0.1', () => {
  const programs = `${version('socket.io')}, ${version('ws')}, node ${process.version}`;
  const address = `127.0.0.1:${http.address().port}`;
  console.error(JSON.stringify({ level: 'INFO', message: 'listening', public: address, version: programs }));
});
