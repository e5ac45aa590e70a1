// Reads {judge, …} as JSON from standard input and prints the verdict: "ok", or why not.
const https = require('https');
const { Readable } = require('stream');

const judges = {
  // mailauth verifies a DKIM signature.
  async dkim({ message, records }) {
    const { dkimVerify } = require('mailauth/lib/dkim/verify');
    const resolver = async (name, type) => {
      if (type !== 'TXT' || !records[name]) throw Object.assign(new Error('not found'), { code: 'ENOTFOUND' });
      return [[records[name]]];
    };
    const { results } = await dkimVerify(Buffer.from(message, 'base64'), { resolver });
    return results.map((r) => `${r.status.result} ${r.algo} ${r.status.aligned}`).join(', ');
  },
  // sns-validator verifies a message of SNS. The certificate is given, not fetched.
  async sns({ message, certificate }) {
    https.get = (url, callback) => {
      const response = Readable.from([certificate]);
      response.statusCode = 200;
      callback(response);
      return { on() {} };
    };
    const Validator = require('sns-validator');
    return new Promise((resolve) => new Validator().validate(message, (err) => resolve(err ? String(err) : 'ok')));
  },
  // @sendgrid/eventwebhook verifies a signed event webhook.
  async sendgrid({ key, body, signature, timestamp }) {
    const { EventWebhook } = require('@sendgrid/eventwebhook');
    const webhook = new EventWebhook();
    return webhook.verifySignature(webhook.convertPublicKeyToECDSA(key), Buffer.from(body), signature, timestamp) ? 'ok' : 'wrong';
  },
  // aws4 signs the request that weft has signed.
  async aws4({ url, body, date, region, id, secret }) {
    const { host, pathname } = new URL(url);
    const request = {
      service: 'ses', region, method: 'POST', host, path: pathname, body,
      headers: { 'Content-Type': 'application/json', 'X-Amz-Date': date }, extraHeadersToIgnore: { 'content-length': true },
    };
    require('aws4').sign(request, { accessKeyId: id, secretAccessKey: secret });
    return request.headers.Authorization;
  },
};

let input = '';
process.stdin.on('data', (data) => { input += data; }).on('end', async () => {
  const task = JSON.parse(input);
  try {
    console.log(await judges[task.judge](task));
  } catch (err) {
    console.log(`failed: ${err.stack}`);
  }
});
