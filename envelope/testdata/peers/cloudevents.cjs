// Writes events with the CloudEvents SDK for JavaScript, in structured and in binary mode of
// HTTP, and prints them: one line of JSON for each.
let sdk;
try {
  sdk = require("cloudevents");
} catch {
  process.exit(77); // so the test is skipped
}
const { CloudEvent, HTTP } = sdk;

const common = {
  id: "A234", source: "/orders", type: "com.acme.order.placed", subject: "1003",
  time: "2026-11-29T05:15:30.123Z", dataschema: "https://acme.example/order.json", tenant: "acme",
};
const events = {
  json: new CloudEvent({ ...common, datacontenttype: "application/json", data: { order: 1003, item: "ä ☃" } }),
  text: new CloudEvent({ ...common, datacontenttype: "text/plain", data: 'a "note"' }),
  bytes: new CloudEvent({ ...common, datacontenttype: "image/png", data: Uint8Array.from([0x89, 0x50, 0x4e, 0x47]) }),
};
for (const [name, event] of Object.entries(events)) {
  for (const mode of ["structured", "binary"]) {
    if (name === "bytes" && mode === "binary") continue; // the body of an SQS message is text
    const message = HTTP[mode](event);
    const attributes = {};
    for (const [header, value] of Object.entries(message.headers)) {
      attributes[header] = { DataType: "String", StringValue: String(value) };
    }
    console.log(JSON.stringify({ case: `${name} ${mode}`, body: String(message.body), attributes }));
  }
}
