//! Inputs made of inputs.
//!
//! Changes of single bytes break most modules in their first lines. So sections are changed as well, in cores and in
//! components, and lengths made right again: what comes of it is wrong further in.

use fastrand::Rng;

/// The longest that is made of a shorter one.
const LONGEST: usize = 64 << 10;
/// How deep components in components are looked into.
const DEPTH: usize = 8;
/// Sections of a component that are whole binaries themselves: a core module, a component.
const BINARIES: [u8; 2] = [1, 4];
const HEADER: usize = 8;

/// `bytes`, changed in a few places; `other` is another input to take from.
pub fn mutate(bytes: &[u8], other: &[u8], random: &mut Rng) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    // Mostly one: two mistakes hide each other.
    for _ in 0..[1, 1, 1, 2, 4][random.usize(0..5)] {
        changed = match random.u8(0..3) {
            0 => change_bytes(changed, other, random),
            _ => change_sections(&changed, other, random, DEPTH),
        };
    }
    changed.truncate(LONGEST.max(bytes.len()));
    changed
}

/// Numbers at which something often changes.
const EDGES: [u8; 8] = [0, 1, 0x3f, 0x40, 0x7f, 0x80, 0xfe, 0xff];

fn change_bytes(mut bytes: Vec<u8>, other: &[u8], random: &mut Rng) -> Vec<u8> {
    let at = random.usize(0..=bytes.len());
    let end = (at + random.usize(0..=16)).min(bytes.len());
    match random.u8(0..10) {
        0 => bytes.truncate(at),
        1 => drop(bytes.drain(at..end)),
        2 => drop(bytes.splice(end..end, bytes[at..end].to_vec())),
        3 => drop(bytes.splice(at..at, some(other, random).to_vec())),
        4..=6 if at < bytes.len() => bytes[at] = EDGES[random.usize(0..EDGES.len())],
        _ if at < bytes.len() => bytes[at] ^= 1 << random.u8(0..8),
        _ => bytes.push(random.u8(..)),
    }
    bytes
}

/// A few bytes from anywhere.
fn some<'a>(bytes: &'a [u8], random: &mut Rng) -> &'a [u8] {
    let at = random.usize(0..=bytes.len());
    &bytes[at..(at + random.usize(0..=32)).min(bytes.len())]
}

#[derive(Clone)]
struct Section {
    id: u8,
    content: Vec<u8>,
}

fn change_sections(bytes: &[u8], other: &[u8], random: &mut Rng, depth: usize) -> Vec<u8> {
    let Some((header, mut sections)) = sections(bytes) else { return change_bytes(bytes.to_vec(), other, random) };
    let foreign = self::sections(other).map(|(_, sections)| sections).unwrap_or_default();
    if sections.is_empty() {
        sections.extend(foreign);
        return joined(header, &sections);
    }
    let (one, two) = (random.usize(0..sections.len()), random.usize(0..sections.len()));
    match random.u8(0..12) {
        0 => sections.swap(one, two),
        1 => drop(sections.remove(one)),
        2 => sections.insert(one, sections[two].clone()),
        3 => sections[one].id = sections[two].id,
        4 if !foreign.is_empty() => sections.insert(one, foreign[random.usize(0..foreign.len())].clone()),
        5 if !foreign.is_empty() => sections[one] = foreign[random.usize(0..foreign.len())].clone(),
        6..=9 if depth > 0 && header[4] != 1 && BINARIES.contains(&sections[one].id) => {
            sections[one].content = change_sections(&sections[one].content, other, random, depth - 1);
        }
        _ => {
            let content = std::mem::take(&mut sections[one].content);
            sections[one].content = change_bytes(content, other, random);
        }
    }
    joined(header, &sections)
}

/// The header and the sections of a binary, where it is one to its end.
fn sections(bytes: &[u8]) -> Option<(&[u8], Vec<Section>)> {
    let (header, mut rest) = bytes.split_at_checked(HEADER)?;
    let mut sections = Vec::new();
    while let Some((&id, after)) = rest.split_first() {
        let (length, after) = length(after)?;
        let (content, after) = after.split_at_checked(length)?;
        sections.push(Section { id, content: content.to_vec() });
        rest = after;
    }
    header.starts_with(b"\0asm").then_some((header, sections))
}

/// A number as WebAssembly writes it, and what follows it.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut number = 0;
    for (index, byte) in bytes.iter().enumerate().take(5) {
        number |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((number, &bytes[index + 1..]));
        }
    }
    None
}

fn joined(header: &[u8], sections: &[Section]) -> Vec<u8> {
    let mut bytes = header.to_vec();
    for Section { id, content } in sections {
        bytes.push(*id);
        let mut left = content.len();
        while left >= 0x80 {
            bytes.push((left & 0x7f) as u8 | 0x80);
            left >>= 7;
        }
        bytes.push(left as u8);
        bytes.extend(content);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use evenkeel_fixtures::Fixture;
    use fastrand::Rng;

    use super::{joined, mutate, sections};

    #[test]
    fn a_binary_is_the_sum_of_its_sections() {
        for fixture in [Fixture::Trap, Fixture::ForeignComponentImport] {
            let bytes = fixture.bytes();
            let (header, parts) = sections(&bytes).expect("it has sections");
            assert!(parts.len() > 1 || fixture == Fixture::ForeignComponentImport);
            assert_eq!(joined(header, &parts), bytes);
        }
        assert!(sections(&Fixture::Truncated.bytes()).is_none());
        assert!(sections(b"").is_none());
    }

    #[test]
    fn the_same_number_makes_the_same_input_and_another_makes_another() {
        let (one, other) = (Fixture::Trap.bytes(), Fixture::NanScores.bytes());
        let made = |seed| mutate(&one, &other, &mut Rng::with_seed(seed));
        for seed in 0..200 {
            assert_eq!(made(seed), made(seed));
        }
        let different: std::collections::HashSet<Vec<u8>> = (0..200).map(made).collect();
        assert!(different.len() > 150, "{}", different.len());
    }

    #[test]
    fn nothing_to_begin_with_is_no_reason_to_panic() {
        for seed in 0..2_000 {
            mutate(b"", b"", &mut Rng::with_seed(seed));
            mutate(b"\0asm\x01\0\0\0", b"\0asm\x0d\0\x01\0", &mut Rng::with_seed(seed));
        }
    }
}
