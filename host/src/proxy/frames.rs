//! The frames of a web socket as they pass by: whether its user has sent something.
//!
//! Only their heads are looked at. What comes is hostile: lengths are numbers here, never sizes of anything.

/// Reads the heads of one direction's frames.
#[derive(Debug, Default)]
pub struct Frames {
    at: At,
    data: bool,
    masked: bool,
    length: u64,
    /// Of the present frame's mask and payload.
    left: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    First,
    Second,
    /// So many bytes of the length are missing.
    Length(u8),
}

impl Frames {
    /// Takes in what has come: the longest payload of the frames that begin in it and carry a message. Pings, pongs and
    /// closes do not.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Option<u64> {
        let mut longest = None;
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.left > 0 {
                let passed = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                self.left -= passed as u64;
                bytes = &bytes[passed..];
                continue;
            }
            bytes = rest;
            let whole = match self.at {
                At::First => {
                    // Continuation, text, binary.
                    self.data = byte & 0x0f <= 2;
                    self.at = At::Second;
                    false
                }
                At::Second => {
                    self.masked = byte & 0x80 != 0;
                    (self.length, self.at) = match byte & 0x7f {
                        126 => (0, At::Length(2)),
                        127 => (0, At::Length(8)),
                        length => (length.into(), At::First),
                    };
                    self.at == At::First
                }
                At::Length(missing) => {
                    self.length = self.length << 8 | u64::from(byte);
                    self.at = if missing > 1 { At::Length(missing - 1) } else { At::First };
                    self.at == At::First
                }
            };
            if whole {
                self.left = self.length.saturating_add(if self.masked { 4 } else { 0 });
                longest = longest.max(self.data.then_some(self.length));
            }
        }
        longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame as a browser sends it.
    fn frame(opcode: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![0x80 | opcode];
        match length {
            0..126 => bytes.push(0x80 | u8::try_from(length).unwrap()),
            126..65_536 => {
                bytes.push(0x80 | 126);
                bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                bytes.push(0x80 | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend([1, 2, 3, 4]);
        bytes.resize(bytes.len() + length, 0x89);
        bytes
    }

    #[test]
    fn messages_count_and_what_keeps_a_connection_open_does_not() {
        let mut frames = Frames::default();
        for (opcode, seen) in [(0, true), (1, true), (2, true), (8, false), (9, false), (10, false)] {
            assert_eq!(frames.feed(&frame(opcode, 5)), seen.then_some(5), "{opcode}");
        }
        assert_eq!(frames.feed(&frame(1, 0)), Some(0));
    }

    #[test]
    fn frames_are_found_however_they_are_cut() {
        let lengths = [3, 0, 125, 126, 65_535, 65_536, 1];
        let all: Vec<u8> = lengths.iter().flat_map(|&length| frame(2, length)).collect();
        for size in [1, 2, 3, 7, 100, all.len()] {
            let mut frames = Frames::default();
            let found: Vec<u64> = all.chunks(size).filter_map(|part| frames.feed(part)).collect();
            let longest = found.iter().max();
            assert_eq!(longest, Some(&65_536), "in parts of {size}");
            if size == 1 {
                assert_eq!(found, lengths.map(|length| length as u64));
            }
            assert_eq!(frames.feed(&frame(9, 4)), None, "it is at the beginning of a frame again");
        }
    }

    #[test]
    fn an_absurd_length_is_a_number_and_no_more() {
        let mut frames = Frames::default();
        let mut bytes = vec![0x82, 0xff];
        bytes.extend([0xff; 8]);
        assert_eq!(frames.feed(&bytes), Some(u64::MAX));
        assert_eq!(frames.feed(&[0x81; 100_000]), None, "all of it is the frame's payload");
    }
}
