// Quotes a price: what so many of a cake cost, with ten per cent off from a dozen on.
const cakes = require("./cakes.json");

exports.handler = async (event) => {
  const { quantity, note } = event.body || {};
  if (!Number.isInteger(quantity) || quantity < 1) {
    throw new Error("Bad request: quantity is a whole number from 1 on");
  }
  const cake = cakes.find((each) => each.id === event.id);
  if (!cake) {
    throw new Error(`No cake is called ${event.id}`);
  }
  if (quantity > cake.stock) {
    throw new Error(`Sold out: ${cake.stock} of ${cake.name} left`);
  }
  const discount = quantity >= 12 ? 0.1 : 0;
  return {
    id: cake.id,
    quantity,
    total: Math.round(cake.price * quantity * (1 - discount) * 100) / 100,
    currency: event.currency || process.env.CURRENCY,
    note: note ?? null,
  };
};
