// SPDX-License-Identifier: Apache-2.0
//
// An OpenID Connect provider for tests: panva's oidc-provider, whole and unpatched, with one configuration file.
//
//   TB_NODE_DIR=... node server.mjs config.json      prints "READY issuer" when it listens
//
// Configuration: issuer, port, keys [{kid, alg?, file (PEM)}], scopes, resources {uri: {}}, defaultResource, clients,
// ttl {device, access, refresh}, interval, rotate, refreshAlways, alg, dpopNonce, tls {key, cert, clientCa}, log.
//
// Under /_test/ it has hooks, for tests only:
//   clock?offset=S              moves the server's clock
//   approve?user_code=&sub=     what a human does with the forms, in one call
//   deny?user_code=
//   revoke?sub=                 ends all logins of that account
//   log                         the requests so far: method, path, grant type, status; never a value
//   log?clear=1
//   fail?path=&times=           spoils the next requests on that path: status= retry_after= body=html|json|empty,
//                               or hang=1 (never answers), or drop=1 (does the work, then cuts the connection)
//   fail?clear=1
import { createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import * as http from 'node:http';
import * as https from 'node:https';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const config = JSON.parse(readFileSync(process.argv[2], 'utf8'));

// The clock has to be replaced before the library is loaded: it and its jose ask Date for everything.
const RealDate = Date;
let clockOffset = 0;
globalThis.Date = class extends RealDate {
  constructor(...args) {
    if (args.length) super(...args);
    else super(RealDate.now() + clockOffset * 1000);
  }

  static now() {
    return RealDate.now() + clockOffset * 1000;
  }
};
const seconds = () => Math.floor(Date.now() / 1000);

// The packages are installed outside of the source tree, where an import by name would not find them.
const library = process.env.TB_NODE_DIR
  ? pathToFileURL(join(process.env.TB_NODE_DIR, 'node_modules/oidc-provider/lib/index.js')).href
  : 'oidc-provider';
const { Provider, errors } = await import(library);

// A store that keeps what has expired. The library's own one forgets a device code 15 s after its end, so that a
// client would see invalid_grant instead of expired_token.
const rows = new Map();
const byUserCode = new Map();
const byUid = new Map();
const byGrant = new Map();

class Store {
  constructor(model) {
    this.model = model;
  }

  key(id) {
    return `${this.model}:${id}`;
  }

  async upsert(id, payload) {
    const key = this.key(id);
    rows.set(key, payload);
    if (payload.grantId) {
      if (!byGrant.has(payload.grantId)) byGrant.set(payload.grantId, new Set());
      byGrant.get(payload.grantId).add(key);
    }
    if (payload.userCode) byUserCode.set(payload.userCode, id);
    if (payload.uid) byUid.set(payload.uid, id);
  }

  async find(id) {
    return rows.get(this.key(id));
  }

  async findByUserCode(userCode) {
    return this.find(byUserCode.get(userCode));
  }

  async findByUid(uid) {
    return this.find(byUid.get(uid));
  }

  async consume(id) {
    rows.get(this.key(id)).consumed = seconds();
  }

  async destroy(id) {
    rows.delete(this.key(id));
  }

  async revokeByGrantId(grantId) {
    for (const key of byGrant.get(grantId) ?? []) rows.delete(key);
    byGrant.delete(grantId);
  }
}

// Keys get no "alg" unless the configuration names one: many real providers leave it out as well.
const signingKeys = config.keys.map(({ kid, alg, file }) => ({
  ...createPrivateKey(readFileSync(file)).export({ format: 'jwk' }),
  kid,
  use: 'sig',
  ...(alg && { alg }),
}));

const tls = config.tls && {
  key: readFileSync(config.tls.key),
  cert: readFileSync(config.tls.cert),
  // Certificates are asked for and judged by the library, so that clients without one are served as well.
  ...(config.tls.clientCa && { ca: readFileSync(config.tls.clientCa), requestCert: true, rejectUnauthorized: false }),
};

const accessTtl = config.ttl?.access ?? 600;
const exchangeGrant = 'urn:ietf:params:oauth:grant-type:token-exchange';
const tokenType = 'urn:ietf:params:oauth:token-type:access_token';

const provider = new Provider(config.issuer, {
  adapter: Store,
  clients: config.clients,
  jwks: { keys: signingKeys },
  scopes: ['openid', 'offline_access', ...config.scopes],
  claims: { openid: ['sub', 'name', 'email'] },
  // Claims go into the id token itself, where a client that never calls the user info endpoint can see them.
  conformIdTokenClaims: false,
  cookies: { keys: ['a key for tests'] },
  clientDefaults: {
    grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token', exchangeGrant],
    response_types: [],
    redirect_uris: [],
    application_type: 'native',
    id_token_signed_response_alg: config.alg ?? 'RS256',
  },
  enabledJWA: {
    idTokenSigningAlgValues: ['RS256', 'PS256', 'ES256', 'EdDSA'],
    clientAuthSigningAlgValues: ['RS256', 'PS256', 'ES256', 'EdDSA', 'HS256'],
    dPoPSigningAlgValues: ['ES256', 'EdDSA'],
  },
  ...(tls && {
    clientAuthMethods: ['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt', 'tls_client_auth',
      'self_signed_tls_client_auth'],
  }),
  pkce: { required: () => false },
  ttl: {
    DeviceCode: config.ttl?.device ?? 600,
    AccessToken: accessTtl,
    IdToken: 600,
    RefreshToken: config.ttl?.refresh ?? 86400,
    Grant: 14 * 86400,
    Session: 86400,
    Interaction: 600,
  },
  rotateRefreshToken: config.rotate ?? true,
  // The library wants offline_access before it gives a refresh token; many providers do not.
  ...(config.refreshAlways !== false && {
    issueRefreshToken: async (ctx, client) => client.grantTypeAllowed('refresh_token'),
  }),
  findAccount: async (ctx, id) => ({
    accountId: id,
    claims: async () => ({ sub: id, name: `${id} example`, email: `${id}@example.org` }),
  }),
  features: {
    devInteractions: { enabled: true },
    deviceFlow: { enabled: true, mask: '****-****', charset: 'base-20' },
    revocation: { enabled: true },
    introspection: { enabled: true },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: async () => config.defaultResource,
      useGrantedResource: async () => true,
      getResourceServerInfo: async (ctx, resource) => {
        if (!config.resources[resource]) throw new errors.InvalidTarget();
        return {
          audience: resource,
          accessTokenFormat: 'jwt',
          accessTokenTTL: accessTtl,
          jwt: { sign: { alg: config.alg ?? 'RS256' } },
          scope: config.scopes.join(' '),
          ...config.resources[resource],
        };
      },
    },
    dPoP: { enabled: true, nonceSecret: Buffer.alloc(32, 7), requireNonce: () => !!config.dpopNonce },
    mTLS: {
      enabled: !!tls,
      certificateBoundAccessTokens: true,
      tlsClientAuth: true,
      selfSignedTlsClientAuth: true,
      getCertificate: (ctx) => ctx.req.socket.getPeerX509Certificate?.(),
      certificateAuthorized: (ctx) => ctx.req.socket.authorized,
      certificateSubjectMatches: (ctx, property, expected) => property === 'tls_client_auth_san_dns'
        && ctx.req.socket.getPeerX509Certificate().checkHost(expected) !== undefined,
    },
  },
});

// RFC 8693 is not among what the library brings, but it can be taught a grant. Of the subject token, the client, the
// issuing, the introspection and the revocation it is the library that judges; here is only what they have to do with
// each other. Targets with "unknown" in them are none.
provider.registerGrantType(exchangeGrant, async (ctx, next) => {
  const { params, client } = ctx.oidc;
  const subject = await provider.AccessToken.find(params.subject_token);
  if (params.subject_token_type !== tokenType) throw new errors.InvalidRequest('unknown subject_token_type');
  if (!subject || subject.isExpired || subject.clientId !== client.clientId) {
    throw new errors.InvalidRequest('the subject token is not good');
  }
  const targets = [params.audience, params.resource].flat().filter(Boolean);
  if (targets.some((target) => target.includes('unknown'))) throw new errors.InvalidTarget();
  const token = new provider.AccessToken({
    accountId: subject.accountId, client, grantId: subject.grantId, gty: 'token_exchange', scope: params.scope,
  });
  token.resourceServer = new provider.ResourceServer(targets[0], {
    audience: targets[0], scope: params.scope ?? '', accessTokenFormat: 'opaque', accessTokenTTL: accessTtl,
  });
  ctx.body = {
    access_token: await token.save(), issued_token_type: tokenType, token_type: token.tokenType,
    expires_in: token.expiration, scope: params.scope,
  };
  await next();
}, ['subject_token', 'subject_token_type', 'requested_token_type', 'audience', 'resource', 'scope'],
['audience', 'resource']);

// What the library saw of a request goes into the log from here: the raw body is the library's to read.
const logEntries = new WeakMap();
let log = [];

provider.use(async (ctx, next) => {
  await next();
  const entry = logEntries.get(ctx.req);
  if (entry && ctx.oidc?.route === 'token') entry.grant_type = ctx.oidc.params?.grant_type;
});

// RFC 8628 has "interval" and "slow_down", the library has neither. With "interval" in the configuration both are
// here, and each slow_down adds the five seconds for good, as the RFC says.
const polls = new Map();

provider.use(async (ctx, next) => {
  await next();
  if (!config.interval) return;
  if (ctx.oidc?.route === 'device_authorization' && ctx.body?.device_code) ctx.body.interval = config.interval;
  if (ctx.oidc?.route === 'token' && ctx.body?.error === 'authorization_pending') {
    const code = ctx.oidc.params.device_code;
    const now = Date.now() / 1000;
    const poll = polls.get(code) ?? { at: -Infinity, interval: config.interval };
    if (now - poll.at < poll.interval) {
      poll.interval += 5;
      ctx.body = { error: 'slow_down', error_description: 'polling too fast' };
    }
    poll.at = now;
    polls.set(code, poll);
  }
});

if (config.log) {
  for (const event of ['grant.error', 'device_authorization.error', 'server_error', 'authorization.error',
    'revocation.error', 'introspection.error']) {
    provider.on(event, (ctx, err) => {
      console.error(event, err?.error ?? String(err), err?.error_detail ?? err?.stack?.split('\n')[1] ?? '');
    });
  }
}

async function findCode(userCode) {
  return provider.DeviceCode.findByUserCode(userCode.replaceAll('-', ''), { ignoreExpiration: true });
}

let faults = [];

const hooks = {
  clock: async (query) => {
    clockOffset = Number(query.get('offset'));
    return { now: seconds() };
  },

  approve: async (query) => {
    const code = await findCode(query.get('user_code'));
    if (!code) return undefined;
    const accountId = query.get('sub');
    const { scope } = code.params;
    const resources = [code.params.resource ?? config.defaultResource].flat().filter(Boolean);
    const grant = new provider.Grant({ accountId, clientId: code.clientId });
    grant.addOIDCScope(scope);
    for (const resource of resources) grant.addResourceScope(resource, scope);
    Object.assign(code, {
      accountId,
      scope,
      grantId: await grant.save(),
      authTime: seconds(),
      resource: resources.length > 1 ? resources : resources[0],
    });
    await code.save();
    return {};
  },

  deny: async (query) => {
    const code = await findCode(query.get('user_code'));
    if (!code) return undefined;
    code.error = 'access_denied';
    code.errorDescription = 'refused';
    await code.save();
    return {};
  },

  // Without its grant no refresh token is good for anything.
  revoke: async (query) => {
    for (const [key, row] of rows) {
      if (key.startsWith('Grant:') && row.accountId === query.get('sub')) rows.delete(key);
    }
    return {};
  },

  log: async (query) => {
    const seen = log;
    if (query.get('clear')) log = [];
    return seen;
  },

  fail: async (query) => {
    if (query.get('clear')) faults = [];
    else faults.push({ ...Object.fromEntries(query), times: Number(query.get('times') ?? 1) });
    return { faults: faults.length };
  },
};

async function runHook(name, query, res) {
  const known = Object.hasOwn(hooks, name);
  const answer = known ? await hooks[name](query) : undefined;
  res.writeHead(answer ? 200 : 404, { 'content-type': 'application/json' });
  res.end(JSON.stringify(answer ?? { error: known ? 'no such code' : 'no such hook' }));
}

function takeFault(path) {
  const fault = faults.find((f) => f.path === path);
  if (fault) {
    fault.times -= 1;
    if (fault.times <= 0) faults = faults.filter((f) => f !== fault);
  }
  return fault;
}

const bodies = {
  html: ['text/html', '<!DOCTYPE html><html><body><h1>Something is wrong here</h1></body></html>'],
  json: ['application/json', '{"error":"temporarily_unavailable"}'],
  empty: [undefined, ''],
};

// The library does not see this request, so what the log wants of its body is read here.
async function spoil(req, res, fault, entry) {
  let body = '';
  for await (const chunk of req) body += chunk;
  const grantType = new URLSearchParams(body).get('grant_type');
  if (grantType) entry.grant_type = grantType;
  if (fault.hang) return;
  const [type, text] = bodies[fault.body ?? 'json'] ?? bodies.json;
  res.writeHead(Number(fault.status ?? 503), {
    ...(type && { 'content-type': type }),
    ...(fault.retry_after && { 'retry-after': fault.retry_after }),
    'content-length': Buffer.byteLength(text),
  });
  res.end(text);
}

// The lost reply: all is done and stored, only nobody hears of it.
function loseReply(res) {
  res.write = () => true;
  res.end = () => {
    res.socket.destroy();
    return res;
  };
}

const serve = provider.callback();

function handle(req, res) {
  const { pathname, searchParams } = new URL(req.url, 'http://localhost');
  if (pathname.startsWith('/_test/')) {
    runHook(pathname.slice('/_test/'.length), searchParams, res).catch((err) => {
      console.error(err);
      res.destroy();
    });
    return;
  }
  const entry = { method: req.method, path: pathname };
  log.push(entry);
  logEntries.set(req, entry);
  res.on('finish', () => { entry.status = res.statusCode; });
  const fault = takeFault(pathname);
  if (fault) {
    entry.fault = fault.hang ? 'hang' : fault.drop ? 'drop' : 'status';
    if (!fault.drop) {
      spoil(req, res, fault, entry).catch(() => res.destroy());
      return;
    }
    loseReply(res);
  }
  serve(req, res);
}

const server = tls ? https.createServer(tls, handle) : http.createServer(handle);
server.listen(config.port, '127.0.0.1', () => console.log('READY', config.issuer));
process.on('SIGTERM', () => process.exit(0));
