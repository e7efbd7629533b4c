// BouncyCastle as a peer: one process for all questions.
//
// Each line that comes in is a question: a verb and its arguments, binary ones in base64. Each line that goes out is its
// answer: "ok" and octets in base64, or "no" and the reason. The verbs are those of Question below; peer.mjs has the same.
//
// Run: java -cp bcprov.jar:bcutil.jar:bcpkix.jar Peer.java

import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.security.KeyFactory;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.Security;
import java.security.cert.X509Certificate;
import java.security.interfaces.ECPublicKey;
import java.security.spec.KeySpec;
import java.security.spec.MGF1ParameterSpec;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import javax.crypto.spec.OAEPParameterSpec;
import javax.crypto.spec.PSource;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.cms.CMSObjectIdentifiers;
import org.bouncycastle.asn1.cms.ContentInfo;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.asn1.pkcs.PrivateKeyInfo;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.jcajce.JcaCertStore;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.cms.*;
import org.bouncycastle.cms.jcajce.*;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.operator.ContentSigner;
import org.bouncycastle.operator.OutputAEADEncryptor;
import org.bouncycastle.operator.OutputEncryptor;
import org.bouncycastle.operator.jcajce.JcaAlgorithmParametersConverter;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.operator.jcajce.JcaDigestCalculatorProviderBuilder;
import org.bouncycastle.util.Store;

public class Peer {
    static final String BC = "BC";

    public static void main(String[] none) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        BufferedReader questions = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = questions.readLine()) != null; ) {
            String answer;
            try {
                answer = "ok " + Base64.getEncoder().encodeToString(new Question(line.split(" ")).answered());
            } catch (Throwable fault) {
                StringBuilder told = new StringBuilder("no");
                for (Throwable each = fault; each != null; each = each.getCause()) told.append(" ").append(each);
                answer = told.toString().replaceAll("\\s+", " ");
            }
            System.out.println(answer);
            System.out.flush();
        }
    }

    /** One line. */
    static final class Question {
        private final String[] words;

        Question(String[] words) {
            this.words = words;
        }

        private byte[] octets(int at) {
            return Base64.getDecoder().decode(words[at]);
        }

        private X509CertificateHolder certificate(int at) throws Exception {
            return new X509CertificateHolder(octets(at));
        }

        private PrivateKey key(int at) throws Exception {
            PrivateKeyInfo info = PrivateKeyInfo.getInstance(octets(at));
            switch (info.getPrivateKeyAlgorithm().getAlgorithm().getId()) {
                case "2.16.840.1.101.3.4.4.2": return fromSeed("ML-KEM", "MLKEM", "ml_kem_768", octets(at), 64);
                case "2.16.840.1.101.3.4.3.18": return fromSeed("ML-DSA", "MLDSA", "ml_dsa_65", octets(at), 32);
                default: return BouncyCastleProvider.getPrivateKey(info);
            }
        }

        /** All words from ``at`` on are certificates. */
        private List<X509Certificate> certificates(int at) throws Exception {
            List<X509Certificate> found = new ArrayList<>();
            for (; at < words.length; at++) found.add(java(certificate(at)));
            return found;
        }

        byte[] answered() throws Exception {
            switch (words[0]) {
                case "version": // ->
                    return new BouncyCastleProvider().getInfo().replaceAll("[^0-9.]", "").getBytes();
                case "verify-detached": // cms content anchor -> content
                    return verified(new CMSSignedData(new CMSProcessableByteArray(octets(2)), octets(1)), certificate(3));
                case "verify-opaque": // cms anchor -> content
                    return verified(new CMSSignedData(octets(1)), certificate(2));
                case "certificates": // cms -> certificates, DER
                    return joined(new CMSSignedData(octets(1)).getCertificates());
                case "decrypt": // cms certificate key -> content
                    return opened(octets(1), certificate(2), key(3));
                case "decrypt-with-password": // cms password -> content
                    return new CMSEnvelopedData(octets(1)).getRecipientInfos().getRecipients().iterator().next()
                        .getContent(new JcePasswordEnvelopedRecipient(new String(octets(2)).toCharArray()).setProvider(BC));
                case "decompress": // cms -> content
                    return new CMSCompressedData(octets(1)).getContent(new ZlibExpanderProvider());
                case "sign": // detached|opaque algorithm certificate key content -> cms
                    return signed(words[1].equals("opaque"), words[2], certificate(3), key(4), octets(5));
                case "encrypt": // cipher transport content certificate... -> cms
                    return sealed(words[1], words[2], octets(3), certificates(4));
                case "encrypt-with-password": // cipher content password -> cms
                    return sealed(words[1], octets(2), new JcePasswordRecipientInfoGenerator(
                        CMSAlgorithm.AES256_CBC, new String(octets(3)).toCharArray()).setProvider(BC));
                case "compress": // content -> cms
                    return new CMSCompressedDataGenerator().generate(new CMSProcessableByteArray(octets(1)),
                        new ZlibCompressor()).getEncoded();
                case "certificates-only": // certificate... -> cms
                    CMSSignedDataGenerator generator = new CMSSignedDataGenerator();
                    generator.addCertificates(new JcaCertStore(certificates(1)));
                    return generator.generate(new CMSAbsentContent()).getEncoded();
                default:
                    throw new IllegalArgumentException("no such verb: " + words[0]);
            }
        }
    }

    static X509Certificate java(X509CertificateHolder holder) throws Exception {
        return new JcaX509CertificateConverter().setProvider(BC).getCertificate(holder);
    }

    /** A key whose PKCS #8 ends in its seed (RFC 9935 6, RFC 9881 6): 1.80 reads an older form of it. By name: 1.72 has none. */
    static PrivateKey fromSeed(String algorithm, String spec, String parameters, byte[] pkcs8, int length) throws Exception {
        String where = "org.bouncycastle.jcajce.spec." + spec;
        Object set = Class.forName(where + "ParameterSpec").getField(parameters).get(null);
        byte[] seed = Arrays.copyOfRange(pkcs8, pkcs8.length - length, pkcs8.length);
        Object key = Class.forName(where + "PrivateKeySpec").getConstructor(set.getClass(), byte[].class).newInstance(set, seed);
        return KeyFactory.getInstance(algorithm, BC).generatePrivate((KeySpec) key);
    }

    static byte[] joined(Store<X509CertificateHolder> store) throws Exception {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        for (X509CertificateHolder each : store.getMatches(null)) all.write(each.getEncoded());
        return all.toByteArray();
    }

    // ---- signatures

    static byte[] verified(CMSSignedData message, X509CertificateHolder anchor) throws Exception {
        if (message.getSignerInfos().size() == 0) throw new CMSException("nobody signed");
        for (SignerInformation signer : message.getSignerInfos()) {
            Store<X509CertificateHolder> brought = message.getCertificates();
            X509CertificateHolder who = (X509CertificateHolder) brought.getMatches(signer.getSID()).iterator().next();
            java(who).verify(java(anchor).getPublicKey());
            if (!signer.verify(new JcaSimpleSignerInfoVerifierBuilder().setProvider(BC).build(who)))
                throw new CMSException("the signature does not fit");
        }
        return (byte[]) message.getSignedContent().getContent();
    }

    static byte[] signed(boolean inside, String algorithm, X509CertificateHolder who, PrivateKey key, byte[] content)
            throws Exception {
        ContentSigner signer = new JcaContentSignerBuilder(algorithm).setProvider(BC).build(key);
        CMSSignedDataGenerator generator = new CMSSignedDataGenerator();
        generator.addSignerInfoGenerator(new JcaSignerInfoGeneratorBuilder(
            new JcaDigestCalculatorProviderBuilder().setProvider(BC).build()).build(signer, who));
        generator.addCertificates(new JcaCertStore(List.of(who)));
        return generator.generate(new CMSProcessableByteArray(content), inside).getEncoded();
    }

    // ---- encryption

    static byte[] opened(byte[] cms, X509CertificateHolder who, PrivateKey key) throws Exception {
        boolean gcm = ContentInfo.getInstance(cms).getContentType().equals(CMSObjectIdentifiers.authEnvelopedData);
        RecipientInformationStore recipients =
            gcm ? new CMSAuthEnvelopedData(cms).getRecipientInfos() : new CMSEnvelopedData(cms).getRecipientInfos();
        for (RecipientInformation each : recipients.getRecipients()) {
            if (!each.getRID().match(who)) continue;
            return each.getContent(recipient(each, key, gcm));
        }
        throw new CMSException("no recipient info for this certificate");
    }

    static Recipient recipient(RecipientInformation info, PrivateKey key, boolean gcm) throws Exception {
        if (info instanceof KeyAgreeRecipientInformation)
            return new JceKeyAgreeEnvelopedRecipient(key).setProvider(BC);
        if (info instanceof KeyTransRecipientInformation)
            return gcm ? new JceKeyTransAuthEnvelopedRecipient(key).setProvider(BC)
                : new JceKeyTransEnvelopedRecipient(key).setProvider(BC);
        return (Recipient) newer("JceKEMEnvelopedRecipient", PrivateKey.class, key);
    }

    /** What only newer versions have, by its name. */
    static Object newer(String name, Class<?> kind, Object argument) throws Exception {
        Class<?> found = Class.forName("org.bouncycastle.cms.jcajce." + name);
        Object made = found.getConstructor(kind).newInstance(argument);
        found.getMethod("setProvider", String.class).invoke(made, BC);
        return made;
    }

    static ASN1ObjectIdentifier cipher(String name) {
        switch (name) {
            case "aes128-cbc": return CMSAlgorithm.AES128_CBC;
            case "aes256-cbc": return CMSAlgorithm.AES256_CBC;
            case "aes128-gcm": return CMSAlgorithm.AES128_GCM;
            case "aes256-gcm": return CMSAlgorithm.AES256_GCM;
            case "3des-cbc": return CMSAlgorithm.DES_EDE3_CBC;
            default: throw new IllegalArgumentException(name);
        }
    }

    static byte[] sealed(String cipher, String transport, byte[] content, List<X509Certificate> people) throws Exception {
        List<RecipientInfoGenerator> generators = new ArrayList<>();
        for (X509Certificate who : people) generators.add(generator(cipher, transport, who));
        return sealed(cipher, content, generators.toArray(new RecipientInfoGenerator[0]));
    }

    static byte[] sealed(String cipher, byte[] content, RecipientInfoGenerator... people) throws Exception {
        OutputEncryptor encryptor = new JceCMSContentEncryptorBuilder(cipher(cipher)).setProvider(BC).build();
        CMSTypedData data = new CMSProcessableByteArray(content);
        if (cipher.endsWith("gcm")) {
            CMSAuthEnvelopedDataGenerator generator = new CMSAuthEnvelopedDataGenerator();
            for (RecipientInfoGenerator each : people) generator.addRecipientInfoGenerator(each);
            return generator.generate(data, (OutputAEADEncryptor) encryptor).getEncoded();
        }
        CMSEnvelopedDataGenerator generator = new CMSEnvelopedDataGenerator();
        for (RecipientInfoGenerator each : people) generator.addRecipientInfoGenerator(each);
        return generator.generate(data, encryptor).getEncoded();
    }

    static RecipientInfoGenerator generator(String cipher, String transport, X509Certificate who) throws Exception {
        PublicKey key = who.getPublicKey();
        if (key == null) throw new CMSException("a public key of an unknown kind");
        ASN1ObjectIdentifier wrap = cipher.startsWith("aes128") ? CMSAlgorithm.AES128_WRAP : CMSAlgorithm.AES256_WRAP;
        switch (key.getAlgorithm()) {
            case "RSA":
                if (!transport.equals("oaep")) return new JceKeyTransRecipientInfoGenerator(who).setProvider(BC);
                OAEPParameterSpec oaep = new OAEPParameterSpec(
                    "SHA-256", "MGF1", new MGF1ParameterSpec("SHA-256"), PSource.PSpecified.DEFAULT);
                return new JceKeyTransRecipientInfoGenerator(who, new JcaAlgorithmParametersConverter().getAlgorithmIdentifier(
                    PKCSObjectIdentifiers.id_RSAES_OAEP, oaep)).setProvider(BC);
            case "EC":
            case "ECDSA":
                KeyPairGenerator curve = KeyPairGenerator.getInstance("EC", BC);
                curve.initialize(((ECPublicKey) key).getParams());
                return agreement(CMSAlgorithm.ECDH_SHA256KDF, curve.generateKeyPair(), wrap, who);
            case "X25519":
                // dhSinglePass-stdDH-hkdf-sha256-scheme, RFC 8418 2.2
                return agreement(new ASN1ObjectIdentifier("1.2.840.113549.1.9.16.3.19"),
                    KeyPairGenerator.getInstance("X25519", BC).generateKeyPair(), wrap, who);
            default:
                Class<?> kem = Class.forName("org.bouncycastle.cms.jcajce.JceKEMRecipientInfoGenerator");
                Object made = kem.getConstructor(X509Certificate.class, ASN1ObjectIdentifier.class).newInstance(who, wrap);
                kem.getMethod("setKDF", AlgorithmIdentifier.class).invoke(made,
                    new AlgorithmIdentifier(
                        PKCSObjectIdentifiers.id_alg_hkdf_with_sha256));
                return (RecipientInfoGenerator) made;
        }
    }

    static RecipientInfoGenerator agreement(
            ASN1ObjectIdentifier scheme, KeyPair ephemeral, ASN1ObjectIdentifier wrap, X509Certificate who) throws Exception {
        return new JceKeyAgreeRecipientInfoGenerator(scheme, ephemeral.getPrivate(), ephemeral.getPublic(), wrap)
            .addRecipient(who).setProvider(BC);
    }
}
