// What the drivers for Node share; see ../driver.py.
"use strict";
const assert = require("node:assert/strict");

const url = process.env.SIMULATOR_URL;
const token = process.env.SIMULATOR_TOKEN;
const droplet = Number(process.env.SIMULATOR_DROPLET);

function done(...operations) {
  for (const operation of operations) process.stdout.write(`done: ${operation}\n`);
}

// Expect a rejection whose response has this status, and this text in its message.
async function rejects(promise, status, text) {
  const error = await promise.then(
    () => assert.fail(`a ${status} was expected`),
    (caught) => caught,
  );
  const body = error.response?.data ?? error.response?.body;
  const message = typeof body === "string" ? JSON.parse(body).message : body?.message;
  assert.equal(error.response?.status ?? error.response?.statusCode, status, String(error));
  assert.ok(message.includes(text), message);
}

function run(main) {
  main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
  });
}

module.exports = { assert, done, droplet, rejects, run, token, url };
