//! What is written is read, however it is cut; and nothing that comes makes a reader panic.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// A message that owns what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Owned {
    Binary(Vec<u8>),
    Close(Option<(u16, String)>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Text(String),
}

fn owned(message: &Message<'_>) -> Owned {
    match *message {
        Message::Binary(bytes) => Owned::Binary(bytes.to_vec()),
        Message::Close(close) => Owned::Close(close.map(|(code, why)| (code, why.to_owned()))),
        Message::Ping(bytes) => Owned::Ping(bytes.to_vec()),
        Message::Pong(bytes) => Owned::Pong(bytes.to_vec()),
        Message::Text(text) => Owned::Text(text.to_owned()),
    }
}

fn write(out: &mut Vec<u8>, message: &Owned, mask: Option<[u8; 4]>) {
    match message {
        Owned::Binary(bytes) => encode(out, Opcode::Binary, bytes, mask),
        Owned::Close(Some((code, why))) => encode_close(out, *code, why, mask),
        Owned::Close(None) => encode(out, Opcode::Close, &[], mask),
        Owned::Ping(bytes) => encode(out, Opcode::Ping, bytes, mask),
        Owned::Pong(bytes) => encode(out, Opcode::Pong, bytes, mask),
        Owned::Text(text) => encode(out, Opcode::Text, text.as_bytes(), mask),
    }
}

fn messages() -> impl Strategy<Value = Owned> {
    prop_oneof![
        vec(any::<u8>(), 0..300).prop_map(Owned::Binary),
        vec(any::<u8>(), 0..=125).prop_map(Owned::Ping),
        vec(any::<u8>(), 0..=125).prop_map(Owned::Pong),
        any::<String>().prop_map(Owned::Text),
        "[a-z]{65530,65545}".prop_map(Owned::Text),
        (3000_u16..5000, ".{0,20}").prop_map(|close| Owned::Close(Some(close))),
        Just(Owned::Close(None)),
    ]
}

fn read(decoder: &mut Decoder, bytes: &[u8], cut: usize) -> Result<Vec<Owned>, Violation> {
    let mut found = Vec::new();
    for chunk in bytes.chunks(cut.max(1)) {
        decoder.feed(chunk);
        while let Some(message) = decoder.decode()? {
            found.push(owned(&message));
        }
    }
    Ok(found)
}

#[test]
fn the_handshake_of_the_rfc_is_answered_as_it_says() {
    assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#[test]
fn a_message_in_parts_is_whole_and_a_ping_may_come_between() {
    let mut decoder = Decoder::new(Role::Server, 100);
    let bytes = [&[0x01, 2, b'a', b'b'][..], &[0x89, 1, b'p'], &[0x80, 1, b'c']].concat();
    let found = read(&mut decoder, &bytes, 3).expect("valid");
    assert_eq!(found, [Owned::Ping(b"p".to_vec()), Owned::Text("abc".into())]);
    assert_eq!(decoder.decode(), Ok(None));
}

#[test]
fn a_message_that_is_too_large_is_refused_before_it_has_come() {
    let mut decoder = Decoder::new(Role::Server, 100);
    decoder.feed(&[0x82, 126, 0, 101]);
    assert_eq!(decoder.decode(), Err(Violation::TooLarge { max: 100 }));
    let mut parts = Decoder::new(Role::Server, 100);
    parts.feed(&[0x02, 60]);
    parts.feed(&[7; 60]);
    parts.feed(&[0x80, 41]);
    assert_eq!(parts.decode(), Err(Violation::TooLarge { max: 100 }));
}

#[test]
fn what_the_protocol_forbids_is_refused_with_its_code() {
    let forbidden: [(&[u8], u16); 8] = [
        (&[0xc1, 0], PROTOCOL_ERROR),
        (&[0x83, 0], PROTOCOL_ERROR),
        (&[0x81, 0x80], PROTOCOL_ERROR),
        (&[0x09, 0], PROTOCOL_ERROR),
        (&[0x80, 0], PROTOCOL_ERROR),
        (&[0x88, 1, 3], PROTOCOL_ERROR),
        (&[0x88, 2, 3, 0xed], PROTOCOL_ERROR),
        (&[0x81, 1, 0xff], INVALID_DATA),
    ];
    for (bytes, code) in forbidden {
        let mut decoder = Decoder::new(Role::Server, 100);
        decoder.feed(bytes);
        assert_eq!(decoder.decode().expect_err("forbidden").close_code(), code, "{bytes:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_is_written_is_read_however_it_is_cut(
        sent in vec(messages(), 0..6), mask in any::<Option<[u8; 4]>>(), cut in 1_usize..5000,
    ) {
        let sender = if mask.is_some() { Role::Client } else { Role::Server };
        let mut bytes = Vec::new();
        for message in &sent {
            write(&mut bytes, message, mask);
        }
        let mut decoder = Decoder::new(sender, 1 << 20);
        prop_assert_eq!(read(&mut decoder, &bytes, cut), Ok(sent));
    }

    #[test]
    fn no_bytes_make_it_panic_or_give_more_than_is_taken(
        bytes in vec(any::<u8>(), 0..400), cut in 1_usize..50, is_client: bool,
    ) {
        let sender = if is_client { Role::Client } else { Role::Server };
        let mut decoder = Decoder::new(sender, 64);
        for message in read(&mut decoder, &bytes, cut).unwrap_or_default() {
            if let Owned::Binary(bytes) = &message {
                prop_assert!(bytes.len() <= 64);
            }
        }
    }
}
