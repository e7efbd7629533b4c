// PKI.js as a peer: one process for all questions, over Node's Web Cryptography.
//
// The protocol is that of Peer.java: a line with a verb and its arguments, binary ones in base64, answered by "ok" and
// octets in base64, or by "no" and the reason.
//
// Run: node peer.mjs, with node_modules beside it (npm ci).

import { webcrypto } from "node:crypto";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import * as asn1js from "asn1js";
import * as pkijs from "pkijs";

pkijs.setEngine("node", new pkijs.CryptoEngine({ name: "node", crypto: webcrypto, subtle: webcrypto.subtle }));

const DATA = pkijs.ContentInfo.DATA;
const octets = (word) => { const found = Buffer.from(word, "base64"); return found.buffer.slice(found.byteOffset, found.byteOffset + found.length); };
const certificate = (word) => pkijs.Certificate.fromBER(octets(word));
const inContentInfo = (contentType, value) => new pkijs.ContentInfo({ contentType, content: value.toSchema(true) }).toSchema().toBER();
const joined = (buffers) => Buffer.concat(buffers.map((each) => Buffer.from(each)));

/** What this version of the library has no class for. */
function wants(name) {
  if (!(name in pkijs)) throw new Error(`PKI.js has no ${name}`);
}

/** The content of a ContentInfo, which must be of this type. */
function inside(cms, contentType) {
  const found = pkijs.ContentInfo.fromBER(cms);
  if (found.contentType !== contentType) throw new Error(`content type ${found.contentType}`);
  return found.content;
}

const verbs = {
  version() { // ->
    return Buffer.from(createRequire(import.meta.url)("pkijs/package.json").version);
  },

  async "verify-detached"(cms, content, anchor) { // -> content
    await verified(octets(cms), certificate(anchor), octets(content));
    return Buffer.from(octets(content));
  },

  async "verify-opaque"(cms, anchor) { // -> content
    const signed = await verified(octets(cms), certificate(anchor));
    return Buffer.from(signed.encapContentInfo.eContent.getValue());
  },

  certificates(cms) { // -> certificates, DER
    const signed = new pkijs.SignedData({ schema: inside(octets(cms), pkijs.ContentInfo.SIGNED_DATA) });
    return joined(signed.certificates.map((each) => each.toSchema(true).toBER()));
  },

  async decrypt(cms, who, key) { // -> content
    if (pkijs.ContentInfo.fromBER(octets(cms)).contentType === "1.2.840.113549.1.9.16.1.23") wants("AuthEnvelopedData");
    const enveloped = new pkijs.EnvelopedData({ schema: inside(octets(cms), pkijs.ContentInfo.ENVELOPED_DATA) });
    const mine = certificate(who);
    const at = enveloped.recipientInfos.findIndex((each) => names(each.value, mine));
    if (at < 0) throw new Error("no recipient info for this certificate");
    return Buffer.from(await enveloped.decrypt(at, { recipientCertificate: mine, recipientPrivateKey: octets(key) }));
  },

  async "decrypt-with-password"(cms, password) { // -> content
    const enveloped = new pkijs.EnvelopedData({ schema: inside(octets(cms), pkijs.ContentInfo.ENVELOPED_DATA) });
    return Buffer.from(await enveloped.decrypt(0, { preDefinedData: octets(password) }));
  },

  async sign(form, algorithm, who, key, content) { // detached|opaque algorithm certificate key content -> cms
    const [digest, how] = SIGNING[algorithm] ?? (() => { throw new Error(`no ${algorithm}`); })();
    const data = octets(content);
    const signer = certificate(who);
    const signed = new pkijs.SignedData({
      version: 1,
      encapContentInfo: new pkijs.EncapsulatedContentInfo({ eContentType: DATA }),
      signerInfos: [new pkijs.SignerInfo({ version: 1, sid: issuerAndSerial(signer) })],
      certificates: [signer],
    });
    if (form === "opaque") signed.encapContentInfo.eContent = new asn1js.OctetString({ valueHex: data });
    signed.signerInfos[0].signedAttrs = new pkijs.SignedAndUnsignedAttributes({
      type: 0,
      attributes: [
        new pkijs.Attribute({ type: "1.2.840.113549.1.9.3", values: [new asn1js.ObjectIdentifier({ value: DATA })] }),
        new pkijs.Attribute({ type: "1.2.840.113549.1.9.5", values: [new asn1js.UTCTime({ valueDate: new Date() })] }),
        new pkijs.Attribute({ type: "1.2.840.113549.1.9.4", values: [new asn1js.OctetString({ valueHex: await webcrypto.subtle.digest(digest, data) })] }),
      ],
    });
    await signed.sign(await webcrypto.subtle.importKey("pkcs8", octets(key), how, true, ["sign"]), 0, digest, data);
    return Buffer.from(inContentInfo(pkijs.ContentInfo.SIGNED_DATA, signed));
  },

  async encrypt(cipher, transport, content, ...people) { // -> cms
    if (cipher.endsWith("gcm")) wants("AuthEnvelopedData"); // it would write GCM into EnvelopedData: RFC 5084 1.1 has it nowhere
    const bits = /^aes(\d+)/.exec(cipher)?.[1];
    if (!bits) throw new Error(`Web Cryptography has no ${cipher}`);
    const enveloped = new pkijs.EnvelopedData();
    for (const who of people)
      enveloped.addRecipientByCertificate(certificate(who), { useOAEP: transport !== "pkcs1", oaepHashAlgorithm: "SHA-256", kdfAlgorithm: "SHA-256", kekEncryptionLength: Number(bits) });
    await enveloped.encrypt({ name: "AES-CBC", length: Number(bits) }, octets(content));
    return Buffer.from(inContentInfo(pkijs.ContentInfo.ENVELOPED_DATA, enveloped));
  },

  async "encrypt-with-password"(cipher, content, password) { // -> cms
    const enveloped = new pkijs.EnvelopedData();
    enveloped.addRecipientByPreDefinedData(octets(password), { hmacHashAlgorithm: "SHA-256", iterationCount: 2048 }, 2);
    await enveloped.encrypt({ name: "AES-CBC", length: 256 }, octets(content));
    return Buffer.from(inContentInfo(pkijs.ContentInfo.ENVELOPED_DATA, enveloped));
  },

  decompress() { wants("CompressedData"); },
  compress() { wants("CompressedData"); },

  "certificates-only"(...people) { // -> cms
    const signed = new pkijs.SignedData({
      version: 1,
      encapContentInfo: new pkijs.EncapsulatedContentInfo({ eContentType: DATA }),
      certificates: people.map(certificate),
    });
    return Buffer.from(inContentInfo(pkijs.ContentInfo.SIGNED_DATA, signed));
  },
};

const SIGNING = {
  "rsa-pkcs1-sha256": ["SHA-256", { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" }],
  "rsa-pss-sha256": ["SHA-256", { name: "RSA-PSS", hash: "SHA-256" }],
  "ecdsa-sha256": ["SHA-256", { name: "ECDSA", namedCurve: "P-256" }],
  "ecdsa-sha384": ["SHA-384", { name: "ECDSA", namedCurve: "P-384" }],
  "ecdsa-sha512": ["SHA-512", { name: "ECDSA", namedCurve: "P-521" }],
  ed25519: ["SHA-512", { name: "Ed25519" }],
};

const issuerAndSerial = (who) => new pkijs.IssuerAndSerialNumber({ issuer: who.issuer, serialNumber: who.serialNumber });
const same = (one, who) => one instanceof pkijs.IssuerAndSerialNumber && one.issuer.isEqual(who.issuer) && one.serialNumber.isEqual(who.serialNumber);

/** Does the recipient info name this certificate, by issuer and serial number? */
function names(info, who) {
  if (info instanceof pkijs.KeyTransRecipientInfo) return same(info.rid, who);
  if (info instanceof pkijs.KeyAgreeRecipientInfo)
    return info.recipientEncryptedKeys.encryptedKeys.some((each) => same(each.rid.value, who));
  return false;
}

/** The SignedData, when its first signature is good and its signer's certificate leads to the anchor. */
async function verified(cms, anchor, data) {
  const signed = new pkijs.SignedData({ schema: inside(cms, pkijs.ContentInfo.SIGNED_DATA) });
  const found = await signed.verify({ signer: 0, data, trustedCerts: [anchor], checkChain: true, extendedMode: true });
  if (!found.signatureVerified || !found.signerCertificateVerified) throw new Error(`not verified: ${found.message}`);
  return signed;
}

for await (const line of createInterface({ input: process.stdin })) {
  const [verb, ...words] = line.split(" ");
  let answer;
  try {
    if (!Object.hasOwn(verbs, verb)) throw new Error(`no verb ${verb}`);
    answer = "ok " + (await verbs[verb](...words)).toString("base64");
  } catch (fault) {
    answer = `no ${fault?.name} ${fault?.message ?? fault}`.replace(/\s+/g, " ");
  }
  console.log(answer);
}
