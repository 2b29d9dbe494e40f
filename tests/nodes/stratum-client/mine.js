'use strict';
// A miner around the npm package `stratum-client`, which knows nothing of parapool: the package speaks Stratum, this file
// only hashes. Usage: node mine.js HOST PORT WORKER PASSWORD SHARES [sha256d|scrypt]
// Prints one JSON object per event and ends after SHARES accepted shares (exit 0), or at the first refusal (exit 1).
const crypto = require('crypto');
const start = require('stratum-client');

const [host, port, worker, password, shares, algorithm = 'sha256d'] = process.argv.slice(2);
const sha256d = data => crypto.createHash('sha256').update(crypto.createHash('sha256').update(data).digest()).digest();
const scrypt = data => crypto.scryptSync(data, data, 32, { N: 1024, r: 1, p: 1 });
const powHash = algorithm === 'scrypt' ? scrypt : sha256d;
const difficulty1 = (algorithm === 'scrypt' ? 0xffffn << 224n : 0xffffn << 208n);
const say = (event, fields) => console.log(JSON.stringify({ event, ...fields }));
const reversed = data => Buffer.from(data).reverse();

let work = null;
let extranonce2 = 0;
let accepted = 0;
let waiting = false;

function headerFront(job, extranonce2Hex) {
  const coinbase = Buffer.from(job.coinb1 + job.extraNonce1 + extranonce2Hex + job.coinb2, 'hex');
  let root = sha256d(coinbase);
  for (const sibling of job.merkle_branch) root = sha256d(Buffer.concat([root, Buffer.from(sibling, 'hex')]));
  return Buffer.concat([
    reversed(Buffer.from(job.version, 'hex')), Buffer.from(job.prevhash, 'hex').swap32(), root,
    reversed(Buffer.from(job.ntime, 'hex')), reversed(Buffer.from(job.nbits, 'hex')), Buffer.alloc(4)]);
}

function mine() {
  if (!work || waiting) return;
  const job = work;
  const target = difficulty1 * 1000000000n / BigInt(Math.round(job.miningDiff * 1e9));
  const extranonce2Hex = (extranonce2++).toString(16).padStart(2 * job.extraNonce2Size, '0');
  const header = headerFront(job, extranonce2Hex);
  for (let nonce = 0; nonce < 20000; nonce++) {
    header.writeUInt32LE(nonce, 76);
    if (BigInt('0x' + reversed(powHash(header)).toString('hex')) > target) continue;
    waiting = true;
    client.submit({ worker_name: worker, job_id: job.jobId, extranonce2: extranonce2Hex, ntime: job.ntime,
      nonce: nonce.toString(16).padStart(8, '0') });
    return;
  }
  setImmediate(mine);
}

function answered(event, error) {
  say(event, { error });
  waiting = false;
  if (event === 'accepted' && ++accepted < Number(shares)) return setImmediate(mine);
  client.shutdown();
  process.exit(event === 'accepted' ? 0 : 1);
}

const client = start({
  server: host, port: Number(port), worker, password, autoReconnectOnError: false,
  onError: error => { say('error', { error: error.message }); process.exit(1); },
  onClose: () => { say('closed'); process.exit(1); },
  onAuthorizeSuccess: () => say('authorized'),
  onAuthorizeFail: error => { say('refused', { error }); process.exit(1); },
  onNewDifficulty: difficulty => say('difficulty', { difficulty }),
  onSubscribe: fields => say('subscribed', fields),
  onNewMiningWork: job => { work = job; say('job', { id: job.jobId }); setImmediate(mine); },
  onSubmitWorkSuccess: error => answered('accepted', error),
  onSubmitWorkFail: error => answered('rejected', error),
});
