// Answers piece by piece: a function URL sends each layer when it is done.
const LAYERS = ["sponge", "jam", "chocolate", "coconut"];

export const handler = awslambda.streamifyResponse(async (event, stream) => {
  stream.setContentType("text/plain");
  for (const layer of LAYERS) {
    stream.write(`${layer}\n`);
    await new Promise((done) => setTimeout(done, 100));
  }
  stream.end();
});
