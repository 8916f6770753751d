//! Where hookgate and a library disagree on purpose, or could be expected to.

use super::comparison::{Comparison, Signer};
use super::request::{PUBLIC_URL, Place};

/// One request that the two sides see in their own way.
#[derive(Debug)]
pub(super) struct Difference {
    pub(super) oracle: &'static str,
    alteration: Alteration,
    /// Whether hookgate accepts it.
    pub(super) ours: bool,
    /// Whether the library accepts it.
    pub(super) theirs: bool,
    pub(super) why: &'static str,
}

/// What is done to a good request.
#[derive(Clone, Copy, Debug)]
enum Alteration {
    /// It arrives so many seconds after it was signed; before, if negative.
    Age(i64),
    /// The signature's hex digits in upper case.
    UpperHex,
    /// A signature in base64 without its padding.
    Unpadded,
    /// Bits that no byte of the signature has, in its last base64 character.
    SpareBits,
    /// Text behind the digits of the timestamp.
    TimeThenText,
    /// A zero before the digits of the timestamp.
    TimeAfterZero,
    /// The signature under another version's name.
    Version(&'static str, &'static str),
    /// The sender signed this URL.
    SignedUrl(&'static str),
    /// The sender signed the first body, and sends the second.
    SignedBody(&'static str, &'static str),
    /// This query.
    Query(&'static str),
}

use Alteration::{
    Age, Query, SignedBody, SignedUrl, SpareBits, TimeAfterZero, TimeThenText, Unpadded, UpperHex,
    Version,
};

const OLD: i64 = 7200;
const EARLY: i64 = -7200;

const fn same(oracle: &'static str, alteration: Alteration, verdict: bool) -> Difference {
    Difference {
        oracle,
        alteration,
        ours: verdict,
        theirs: verdict,
        why: "",
    }
}

/// Only hookgate accepts it.
const fn only_ours(oracle: &'static str, alteration: Alteration, why: &'static str) -> Difference {
    Difference {
        oracle,
        alteration,
        ours: true,
        theirs: false,
        why,
    }
}

/// Only the library accepts it.
const fn only_theirs(
    oracle: &'static str,
    alteration: Alteration,
    why: &'static str,
) -> Difference {
    Difference {
        oracle,
        alteration,
        ours: false,
        theirs: true,
        why,
    }
}

/// Fields named U+FF61 and U+1F600: which comes first depends on who counts.
const SURROGATES: &str = "%EF%BD%A1=1&%F0%9F%98%80=2";
const FUTURE: &str = "a time that never comes near would pass for ever";
const TIMELESS: &str = "the library leaves the age to the app";
const DIGITS: &str = "the library signs the number that it reads; the sender signed the text";
const CASE: &str = "the library compares texts; hex means the same in either case";
const LENIENT: &str =
    "the library's base64 skips what it does not know: many texts for one signature";

/// Every difference that is known, and some agreements that are easily lost.
pub(super) const DIFFERENCES: &[Difference] = &[
    // Age.
    same("standardwebhooks-py", Age(OLD), false),
    same("standardwebhooks-py", Age(EARLY), false),
    same("standardwebhooks-js", Age(299), true),
    same("standardwebhooks-js", Age(OLD), false),
    same("standardwebhooks-js", Age(EARLY), false),
    same("svix", Age(OLD), false),
    same("svix", Age(EARLY), false),
    same("openai", Age(OLD), false),
    same("openai", Age(EARLY), false),
    same("slack", Age(OLD), false),
    same("slack", Age(EARLY), false),
    same("telnyx", Age(OLD), false),
    same("telnyx", Age(EARLY), false),
    same("linear", Age(OLD), false),
    same("linear", Age(EARLY), false),
    same("stripe", Age(OLD), false),
    only_theirs("stripe", Age(EARLY), FUTURE),
    same("workos", Age(OLD), false),
    only_theirs("workos", Age(EARLY), FUTURE),
    same("mux", Age(OLD), false),
    only_theirs("mux", Age(EARLY), FUTURE),
    same("elevenlabs", Age(OLD), false),
    only_theirs("elevenlabs", Age(EARLY), FUTURE),
    same("hubspot-v3", Age(OLD), false),
    only_theirs("hubspot-v3", Age(EARLY), FUTURE),
    same("contentful", Age(OLD), false),
    only_theirs("contentful", Age(EARLY), FUTURE),
    same("paddle", Age(OLD), false),
    only_theirs("paddle", Age(EARLY), FUTURE),
    only_ours(
        "paddle",
        Age(60),
        "the library's 5 seconds lose events to clocks and queues",
    ),
    same("box", Age(OLD), false),
    same("box", Age(EARLY), false),
    only_ours("box", Age(-30), "clocks differ by seconds"),
    same("sanity", Age(OLD), true),
    only_theirs("webflow", Age(OLD), TIMELESS),
    same("hook0", Age(OLD), false),
    same("hook0", Age(EARLY), false),
    same("messagebird-jwt", Age(64), true),
    same("messagebird-jwt", Age(OLD), false),
    same("messagebird-jwt", Age(EARLY), false),
    // How a signature is written.
    only_ours("stripe", UpperHex, CASE),
    only_ours("slack", UpperHex, CASE),
    only_ours("viber", UpperHex, CASE),
    only_ours("github", UpperHex, CASE),
    same("notion", UpperHex, true),
    same("standardwebhooks-js", Unpadded, false),
    same("standardwebhooks-js", SpareBits, false),
    same("standardwebhooks-py", Unpadded, false),
    only_theirs("standardwebhooks-py", SpareBits, LENIENT),
    only_theirs("openai", Unpadded, LENIENT),
    only_theirs("openai", SpareBits, LENIENT),
    only_theirs("line", Unpadded, LENIENT),
    only_theirs("line", SpareBits, LENIENT),
    same("shopify", SpareBits, false),
    same("twilio-form", SpareBits, false),
    // How a timestamp is written.
    only_theirs("standardwebhooks-js", TimeThenText, DIGITS),
    same("standardwebhooks-py", TimeThenText, false),
    only_theirs("standardwebhooks-js", TimeAfterZero, DIGITS),
    only_theirs("standardwebhooks-py", TimeAfterZero, DIGITS),
    only_theirs("stripe", TimeAfterZero, DIGITS),
    same("slack", TimeAfterZero, false),
    only_theirs("mux", TimeThenText, DIGITS),
    only_theirs("paddle", TimeThenText, DIGITS),
    // Versions: a test signature, or one of an older scheme, is none.
    same("stripe", Version("v1=", "v0="), false),
    same("mux", Version("v1=", "v0="), false),
    same("standardwebhooks-js", Version("v1,", "v2,"), false),
    same("standard-webhooks-ed25519", Version("v1a,", "v1,"), false),
    // What was signed.
    only_theirs(
        "twilio-form",
        SignedUrl("https://hooks.example.com:443/hooks/in"),
        "the library tries the URL with the default port as well: write the port in public_url",
    ),
    only_ours(
        "workos",
        SignedBody("{ \"a\": 1.0 }", "{ \"a\": 1.0 }"),
        "the library signs JSON.stringify of the parsed body; WorkOS sends just that",
    ),
    only_theirs(
        "box",
        SignedBody("{\"a\":\"\\u00e9\"}", "{\"a\":\"\u{e9}\"}"),
        "the library tries the body with escapes as well; Box sends what it signs",
    ),
    only_theirs(
        "braintree",
        SignedBody(
            "bt_signature=&bt_payload=YQ%3D%3D%0A",
            "bt_payload=YQ%3D%3D",
        ),
        "the library tries the payload with a line end as well, for frameworks that trim it",
    ),
    only_theirs(
        "plivo-v3",
        SignedBody("a=1&a=1", "a=1&a=1"),
        "the library writes a repeated field as often as it comes; {form|sorted} once",
    ),
    only_theirs(
        "plivo-v3",
        SignedBody("", ""),
        "without any field Plivo signs no `?`; an event has fields",
    ),
    same("crisp", SignedBody("{\"a\":1.0}", "{ \"a\" : 1 }"), true),
    same("twilio-form", SignedBody("b=2&a=1", "a=%31&b=2"), true),
    only_theirs(
        "twilio-js",
        SignedBody(SURROGATES, SURROGATES),
        "JavaScript orders names by UTF-16 units, Twilio's Python and hookgate by code points; names are ASCII",
    ),
    same("twilio-form", SignedBody(SURROGATES, SURROGATES), true),
    same("hubspot-v2", Query("a=%3A%2F"), true),
];

impl Difference {
    /// What is not as written down.
    pub(super) fn check(&self, mut comparison: Comparison<'_>) -> Option<String> {
        const NOW: u64 = 1_800_000_000;
        let signer = match self.alteration {
            SignedBody(..) if self.ours && !self.theirs => Signer::Hookgate,
            _ => comparison.signer(),
        };
        let body = match self.alteration {
            SignedBody(signed, _) => signed.as_bytes().into(),
            _ => comparison.body(NOW),
        };
        let mut request = comparison.request(body);
        match self.alteration {
            SignedUrl(url) => request.signed_url = Some(url.to_owned()),
            Query(query) => query.clone_into(&mut request.query),
            _ => {}
        }
        let mut signed = match comparison.sign(signer, &request, NOW) {
            Ok(signed) => signed,
            Err(why) => return Some(format!("{self:?}: {why}")),
        };
        signed.signed_url = None;
        self.alter(&comparison, &mut signed);
        let now = match self.alteration {
            Age(seconds) => NOW.checked_add_signed(seconds).expect("within an age"),
            _ => NOW,
        };
        let verdicts = comparison.verdicts(&signed, now);
        let as_written = verdicts.ours == self.ours && (verdicts.theirs == Ok(true)) == self.theirs;
        (!as_written).then(|| format!("{self:?}: {verdicts:?} of {signed:?} at {PUBLIC_URL}"))
    }

    fn alter(&self, comparison: &Comparison<'_>, signed: &mut super::request::Request) {
        let row = comparison.row;
        let time = || row.timestamp.expect("altered only where there is one");
        match self.alteration {
            Age(_) | SignedUrl(_) | Query(_) => {}
            UpperHex => signed.edit(row.signature, |text| upper_hex(text)),
            Unpadded => signed.edit(row.signature, |text| {
                assert_eq!(text.pop(), Some(b'='), "32 or 20 bytes are padded");
            }),
            SpareBits => signed.edit(row.signature, |text| {
                let last = text.len() - 2;
                // 32 bytes leave two bits and 20 bytes four, all zero: the next letter of the alphabet has one set.
                text[last] = next_in_base64(text[last]);
            }),
            TimeThenText => signed.edit(time(), |text| text.extend_from_slice(b"abc")),
            TimeAfterZero => signed.edit(time(), |text| text.insert(0, b'0')),
            Version(from, to) => {
                let (Place::Header(name) | Place::Element(name, _)) = row.signature else {
                    panic!("versions stand in headers");
                };
                let header = signed.text(Place::Header(name));
                signed.set(name, &header.replace(from, to));
            }
            SignedBody(_, sent) => {
                let signature = match row.signature {
                    place @ Place::Form(name) => format!("{name}={}&", signed.text(place)),
                    _ => String::new(),
                };
                signed.body = format!("{signature}{sent}").into();
            }
        }
    }
}

/// The last 40 digits in upper case: a prefix such as `sha256=` stays.
fn upper_hex(text: &mut [u8]) {
    let start = text.len() - 40;
    assert!(
        text[start..].iter().any(u8::is_ascii_lowercase),
        "it has a letter"
    );
    text[start..].make_ascii_uppercase();
}

fn next_in_base64(letter: u8) -> u8 {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let place = ALPHABET.iter().position(|&known| known == letter);
    ALPHABET[place.expect("a letter of base64") + 1]
}
