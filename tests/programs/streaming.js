// A runtime for `provided` in Node.js that streams its answers, with the trailers of one that fails.
const http = require('http');
const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(':');
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const base = '/2018-06-01/runtime/invocation/';
const names = ['Lambda-Runtime-Function-Error-Type', 'Lambda-Runtime-Function-Error-Body'];

function next() {
  http.get({ host, port, agent, path: base + 'next' }, (event) => {
    let text = '';
    event.on('data', (piece) => { text += piece; });
    event.on('end', () => answer(event.headers['lambda-runtime-aws-request-id'], text));
  });
}

function answer(id, text) {
  const headers = {
    'Lambda-Runtime-Function-Response-Mode': 'streaming',
    'Content-Type': 'application/vnd.awslambda.http-integration-response',
    Trailer: names,
  };
  const path = base + id + '/response';
  const response = http.request({ host, port, agent, method: 'POST', path, headers }, (told) => {
    told.resume();
    told.on('end', next);
  });
  response.write('begun');
  if (text.includes('late')) {
    const body = Buffer.from('{"errorType":"Late"}').toString('base64');
    response.addTrailers({ [names[0]]: 'Function.Late', [names[1]]: body });
  }
  response.end();
}

next();
