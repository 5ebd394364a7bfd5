//! Traces as JSON lines.

use std::io;

use super::TraceEvent;

/// Writes one event as one line of JSON. The fields' order never changes; new ones come last.
pub(crate) fn write_event(
    out: &mut impl io::Write,
    number: u64,
    event: &TraceEvent,
    hosts: &[String],
) -> io::Result<()> {
    let TraceEvent { at_ns, kind, from, to, bytes, value, .. } = event;
    write!(out, r#"{{"n":{number},"at_ns":{at_ns},"kind":"{kind:?}","from":{from},"to":{to}"#)?;
    for (key, host) in [("from_name", from), ("to_name", to)] {
        if let Some(name) = hosts.get(*host as usize) {
            write!(out, r#","{key}":"#)?;
            write_text(out, name)?;
        }
    }
    if let Some(packet) = event.packet_name() {
        write!(out, r#","packet":"{packet}""#)?;
    }
    if let Some(connection) = event.connection {
        write!(out, r#","connection":{connection}"#)?;
    }
    if let Some(stream) = event.stream {
        write!(out, r#","stream":{stream}"#)?;
    }
    write!(out, r#","value":{value},"bytes":{bytes}"#)?;
    write!(out, r#","payload_hash":"{:016x}","payload_start":""#, event.payload.hash)?;
    for byte in event.payload.start() {
        write!(out, "{byte:02x}")?;
    }
    writeln!(out, r#""}}"#)
}

/// A text with what JSON wants escaped (RFC 8259, section 7).
pub(crate) fn write_text(out: &mut impl io::Write, text: &str) -> io::Result<()> {
    write!(out, "\"")?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(out, "\\{c}")?,
            c if c < ' ' => write!(out, "\\u{:04x}", c as u32)?,
            c => write!(out, "{c}")?,
        }
    }
    write!(out, "\"")
}

#[cfg(test)]
mod tests {
    use super::super::TraceKind;
    use super::*;

    #[test]
    fn an_event_is_one_line_of_json_whatever_the_names() {
        let mut line = Vec::new();
        let hosts = ["a\"\\\n".to_owned()];
        write_event(&mut line, 3, &TraceEvent::mark(5, TraceKind::Cut, 0, 1), &hosts)
            .expect("memory");
        let expected = concat!(
            r#"{"n":3,"at_ns":5,"kind":"Cut","from":0,"to":1,"from_name":"a\"\\\u000a","#,
            r#""value":0,"bytes":0,"payload_hash":"0000000000000000","payload_start":""}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(line).expect("text"), expected);
    }
}
