//! A user's own presets: used as those of the program, and told where they stand when they are wrong.

use super::{accepted, field, load, secs, shown, signature};

#[test]
fn sources_start_from_a_preset_of_the_file() {
    let (config, warnings) = accepted(
        "
providers:
  shop:
    verify: { hmac: { header: X-Shop, prefix: p } }
    event: { type: json:/event }
    sender_timeout: 5s
    expect_every: 2h
sources:
  one: { provider: shop, secret: s, forward: http://a/ }
  two: { provider: shop, secret: s, forward: http://a/, verify: { hmac: { header: X-Two } }, expect_every: null }
",
    );
    assert_eq!(warnings, [""; 0]);
    let [one, two] = config.sources.as_slice() else {
        panic!("two sources");
    };
    assert_eq!(one.provider.as_deref(), Some("shop"));
    assert_eq!(signature(one).fields, [field("header:x-shop")]);
    assert_eq!(signature(two).fields, [field("header:x-two")]);
    assert_eq!(signature(two).prefix, signature(one).prefix, "merged");
    assert_eq!((one.sender_timeout, two.sender_timeout), (secs(5), secs(5)));
    assert_eq!(
        (one.expect_every, two.expect_every),
        (Some(secs(7_200)), None)
    );
}

#[test]
fn what_is_wrong_with_a_preset_is_told_once_and_where_it_stands() {
    let problems = load(
        "providers:
  github: { verify: bearer }
  Shop: { verify: bearer }
  shop:
    provider: github
    path: /x
    verify: { hmac: { header: X-Shop, algorithm: sha3 } }
    secret: ${NOT_SET}
    acc: stored
  empty:
  text: bearer
sources:
  a: { provider: shop, forward: http://a/ }
  b: { provider: shop, forward: http://a/ }
  c: { provider: shopp, forward: http://a/ }
  d: { provider: empty, forward: http://a/, secret: s }
",
    )
    .expect_err("all of it");
    insta::assert_snapshot!(shown(&problems));
}

#[test]
fn a_preset_that_nobody_uses_is_warned_about() {
    let (_, warnings) = accepted(
        "
providers: { shop: { verify: bearer }, other: { verify: bearer } }
sources: { a: { provider: shop, secret: s, forward: http://a/ } }
",
    );
    assert_eq!(
        warnings,
        ["hookgate.yaml:2:40: providers.other: no source starts from this preset"]
    );
}
