//! What a safety number and a code promise.

use proptest::prelude::*;

use super::*;

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

/// Everything that two people could compare.
fn compared(one: (&Address, [u8; 32]), other: (&Address, [u8; 32])) -> (String, Vec<&'static str>, String) {
    let one = Party { address: one.0, account_key: &one.1 };
    let other = Party { address: other.0, account_key: &other.1 };
    let number = SafetyNumber::of(&one, &other);
    (number.to_string(), number.words(), Code::of(&one, &other).to_string())
}

#[test]
fn the_number_is_sixty_digits_and_eighteen_words() {
    let (number, words, code) = compared((&address("alice@a.example"), [1; 32]), (&address("bob@a.example"), [2; 32]));
    let groups: Vec<&str> = number.split(' ').collect();
    assert_eq!(groups.len(), 12);
    assert!(groups.iter().all(|group| group.len() == 5 && group.bytes().all(|byte| byte.is_ascii_digit())), "{number}");
    assert_eq!(words.len(), 18);
    assert_eq!(code.len(), 77, "{code}");
    let alphanumeric = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || "-:".contains(c);
    assert!(code.chars().all(alphanumeric), "{code}");
}

#[test]
fn every_input_counts() {
    let (alice, bob) = (address("alice@a.example"), address("bob@a.example"));
    let base = compared((&alice, [1; 32]), (&bob, [2; 32]));
    let mut flipped = [2; 32];
    flipped[31] ^= 1;
    for (what, changed) in [
        ("a key", compared((&alice, [9; 32]), (&bob, [2; 32]))),
        ("the other key", compared((&alice, [1; 32]), (&bob, [9; 32]))),
        ("one bit of a key", compared((&alice, [1; 32]), (&bob, flipped))),
        ("the keys exchanged", compared((&alice, [2; 32]), (&bob, [1; 32]))),
        ("a name", compared((&address("alicf@a.example"), [1; 32]), (&bob, [2; 32]))),
        ("a domain", compared((&alice, [1; 32]), (&address("bob@b.example"), [2; 32]))),
    ] {
        assert_ne!(base.0, changed.0, "{what}: digits");
        assert_ne!(base.1, changed.1, "{what}: words");
        assert_ne!(base.2, changed.2, "{what}: code");
    }
}

#[test]
fn a_half_is_one_persons_alone() {
    let (alice, bob, carol) = (address("alice@a.example"), address("bob@a.example"), address("carol@a.example"));
    let with_bob = compared((&alice, [1; 32]), (&bob, [2; 32])).0;
    let with_carol = compared((&carol, [3; 32]), (&alice, [1; 32])).0;
    let first = |number: &str| number.split_at(35).0.to_owned();
    assert_eq!(first(&with_bob), first(&with_carol), "alice's half, which comes first in both");
    assert_ne!(with_bob, with_carol);
}

#[test]
fn the_version_counts() {
    let alice = address("alice@a.example");
    assert_ne!(
        transcript::safety_number_half(1, &alice, &[1; 32]),
        transcript::safety_number_half(2, &alice, &[1; 32])
    );
    let party = Party { address: &alice, account_key: &[1; 32] };
    assert_ne!(transcript::verification_code(1, &party, &party), transcript::verification_code(2, &party, &party));
}

#[test]
fn a_code_says_who_shows_it() {
    let (alice, bob) = (address("alice@a.example"), address("bob@a.example"));
    let shown = compared((&alice, [1; 32]), (&bob, [2; 32]));
    let other = compared((&bob, [2; 32]), (&alice, [1; 32]));
    assert_eq!((&shown.0, &shown.1), (&other.0, &other.1));
    assert_ne!(shown.2, other.2, "who scans their own screen must not be content");
}

#[test]
fn what_is_typed_is_read_however_it_is_grouped() {
    let (alice, bob) = (address("alice@a.example"), address("bob@a.example"));
    let number = SafetyNumber::of(
        &Party { address: &alice, account_key: &[1; 32] },
        &Party { address: &bob, account_key: &[2; 32] },
    );
    let (digits, words) = (number.to_string(), number.words().join(" "));
    for typed in [digits.clone(), digits.replace(' ', ""), digits.replace(' ', "-"), format!(" {digits}\n")] {
        assert!(number.is(&Typed::parse(&typed).unwrap()), "{typed}");
    }
    for typed in [words.clone(), words.to_uppercase(), words.replace(' ', "\n  ")] {
        assert!(number.is(&Typed::parse(&typed).unwrap()), "{typed}");
    }
    assert_eq!(Typed::parse(digits.split_at(58).0), Err(TypedError::Digits(49)));
    assert_eq!(Typed::parse(""), Err(TypedError::Digits(0)));
    assert_eq!(Typed::parse(words.rsplit_once(' ').unwrap().0), Err(TypedError::Words(17)));
    assert_eq!(Typed::parse("abandon qwertz"), Err(TypedError::Unknown(2)));
}

#[test]
fn the_words_are_the_english_list_of_bip_39() {
    assert_eq!(LIST.len(), 2048);
    assert!(LIST.is_sorted());
    assert_eq!((LIST[0], LIST[2047]), ("abandon", "zoo"));
    // Another list under the same name would give people other words.
    assert_eq!(
        blake3::hash(LIST.join("\n").as_bytes()).to_string(),
        "f59da64a9e5948af84d1c91685f2c17af31627eae5143857bc799c691f5fc59b"
    );
}

#[test]
fn what_is_no_code_is_told_from_one_of_another_version() {
    let digest = "0".repeat(64);
    let short = "0".repeat(63);
    for (text, error) in [
        (String::new(), CodeError::Form),
        ("https://example.org".to_owned(), CodeError::Form),
        (format!("QPC-VERIFY:1:{short}"), CodeError::Form),
        (format!("QPC-VERIFY:1:{digest}0"), CodeError::Form),
        (format!("QPC-VERIFY:1:{short}g"), CodeError::Form),
        (format!("QPC-VERIFY::{digest}"), CodeError::Form),
        (format!("QPC-VERIFY:-1:{digest}"), CodeError::Form),
        (format!("QPC-VERIFY:+1:{digest}"), CodeError::Form),
        (format!("QPC-VERIFY:01:{digest}"), CodeError::Version),
        (format!("QPC-VERIFY:2:{digest}"), CodeError::Version),
        ("QPC-VERIFY:17:SOMETHING ELSE".to_owned(), CodeError::Version),
    ] {
        assert_eq!(Code::parse(&text), Err(error), "{text}");
    }
    assert!(Code::parse(&format!(" QPC-VERIFY:1:{digest}\n")).is_ok());
}

fn people() -> impl Strategy<Value = (Address, [u8; 32])> {
    ("[a-z]{1,12}", "[a-z]{1,8}\\.example", any::<[u8; 32]>())
        .prop_map(|(name, domain, key)| (address(&format!("{name}@{domain}")), key))
}

proptest! {
    #[test]
    fn both_see_the_same_number(one in people(), other in people()) {
        let (here, there) = (compared((&one.0, one.1), (&other.0, other.1)), compared((&other.0, other.1), (&one.0, one.1)));
        prop_assert_eq!((here.0, here.1), (there.0, there.1));
    }

    #[test]
    fn another_key_is_another_number(one in people(), other in people(), key in any::<[u8; 32]>()) {
        prop_assume!(key != other.1);
        let (here, forged) = (compared((&one.0, one.1), (&other.0, other.1)), compared((&one.0, one.1), (&other.0, key)));
        prop_assert_ne!(here.0, forged.0);
        prop_assert_ne!(here.1, forged.1);
        prop_assert_ne!(here.2, forged.2);
    }

    #[test]
    fn what_is_shown_reads_back(one in people(), other in people()) {
        let (one, other) = (Party { address: &one.0, account_key: &one.1 }, Party { address: &other.0, account_key: &other.1 });
        let (number, code) = (SafetyNumber::of(&one, &other), Code::of(&one, &other));
        prop_assert!(number.is(&Typed::parse(&number.to_string()).unwrap()));
        prop_assert!(number.is(&Typed::parse(&number.words().join(" ")).unwrap()));
        prop_assert!(Code::parse(&code.to_string()) == Ok(code));
    }

    #[test]
    fn one_digit_or_word_wrong_is_wrong(one in people(), other in people(), at in 0..DIGITS) {
        let number = SafetyNumber::of(
            &Party { address: &one.0, account_key: &one.1 },
            &Party { address: &other.0, account_key: &other.1 },
        );
        let mut digits = number.digits;
        digits[at] = if digits[at] == b'9' { b'0' } else { b'9' };
        prop_assert!(!number.is(&Typed::Digits(digits)));
        let mut words = number.words;
        words[at % WORDS] ^= 1;
        prop_assert!(!number.is(&Typed::Words(words)));
    }

    #[test]
    fn anything_else_is_refused(text in any::<String>()) {
        prop_assert!(Typed::parse(&text).is_err());
        prop_assert!(Code::parse(&text).is_err());
    }
}
