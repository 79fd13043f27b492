//! The memory of a process that waits for most of its life.
//!
//! To start, a process reads much that it never needs again: the dynamic linker's tables, and code all over a large
//! executable, of which the kernel maps the surroundings too. Each page of a file that is mapped counts towards every
//! process that maps it, though nothing of it is the process's own.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    ops::Range,
};

/// Gives back what was read of files, the executable's code above all. What is needed again comes back from the page
/// cache, which it never left.
pub(super) fn give_back() -> io::Result<()> {
    for range in clean(BufReader::new(File::open("/proc/self/smaps")?))? {
        forget(range)?;
    }
    Ok(())
}

/// Where files are mapped of which this process has changed nothing. A mapping that cannot be written may still have been
/// changed: the dynamic linker protects what it has filled in.
fn clean(smaps: impl BufRead) -> io::Result<Vec<Range<usize>>> {
    let mut found = Vec::new();
    let mut mapping = None;
    for line in smaps.lines() {
        let line = line?;
        let mut words = line.split_ascii_whitespace();
        match (words.next().unwrap_or_default(), words.next().unwrap_or_default()) {
            // The last word about a mapping.
            ("VmFlags:", _) => found.extend(mapping.take()),
            ("Anonymous:" | "Swap:", size) if size != "0" => mapping = None,
            (range, permissions) => {
                if let Some(range) = addresses(range) {
                    // Offset, device, inode, path.
                    let is_file = words.nth(2).is_some_and(|inode| inode != "0");
                    let is_fixed =
                        permissions.starts_with('r') && permissions.ends_with("p") && !permissions.contains('w');
                    mapping = (is_file && is_fixed).then_some(range);
                }
            }
        }
    }
    Ok(found)
}

/// `7f42eb000000-7f42eb021000`
fn addresses(word: &str) -> Option<Range<usize>> {
    let (start, end) = word.split_once('-')?;
    Some(usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
}

#[expect(unsafe_code, reason = "there is no safe way to say it; the kernel does the same where memory is short")]
fn forget(range: Range<usize>) -> io::Result<()> {
    // SAFETY: the range is one that the kernel has listed as a whole mapping of a file, readable, not writable, without a
    // page that differs from the file. The next access reads the same bytes from the file; an executable that runs cannot
    // be written to.
    let advised = unsafe { rustix::mm::madvise(range.start as *mut _, range.len(), rustix::mm::Advice::LinuxDontNeed) };
    Ok(advised?)
}

#[cfg(test)]
mod tests {
    use super::clean;

    /// A mapping as smaps shows it, cut short.
    fn mapping(head: &str, anonymous: u32, swap: u32) -> String {
        format!(
            "{head}\nRss: 8 kB\nPrivate_Dirty: 8 kB\nAnonymous: {anonymous} kB\nSwap: {swap} kB\n\
             THPeligible: 0\nVmFlags: rd mr mw me\n"
        )
    }

    #[test]
    fn only_what_can_be_read_from_a_file_again_is_given_back() {
        let code = "55b56719e000-55b56719f000 r-xp 00001000 fe:00 77 /usr/bin/evenkeel";
        let text = [
            mapping(code, 0, 0),
            mapping("55b5671a0000-55b5671a1000 r--p 00002000 fe:00 77 /usr/bin/evenkeel", 0, 0),
            // Relocated and then protected; the same, and swapped out.
            mapping("55b5671a2000-55b5671a3000 r--p 00003000 fe:00 77 /usr/bin/evenkeel", 4, 0),
            mapping("55b5671a4000-55b5671a5000 r--p 00004000 fe:00 77 /usr/bin/evenkeel", 0, 4),
            mapping("55b5671a6000-55b5671a7000 rw-p 00005000 fe:00 77 /usr/bin/evenkeel", 0, 0),
            mapping("55b5671a8000-55b5671a9000 r--s 00006000 fe:00 78 /usr/lib/cache", 0, 0),
            mapping("55b5671aa000-55b5671ab000 ---p 00007000 fe:00 78 /usr/lib/hole", 0, 0),
            mapping("55b5671ac000-55b5671ad000 r--p 00000000 00:00 0 [vvar]", 0, 0),
            mapping("55b5671ae000-55b5671af000 r--p 00000000 00:00 0", 0, 0),
        ]
        .concat();
        let found = clean(text.as_bytes()).expect("text");
        assert_eq!(found, [0x55b5_6719_e000..0x55b5_6719_f000, 0x55b5_671a_0000..0x55b5_671a_1000]);
        // Cut off before it is known what has been changed of it.
        let cut = mapping(code, 0, 0);
        assert!(clean(&cut.as_bytes()[..code.len() + 10]).expect("text").is_empty());
        assert!(!clean(std::fs::read("/proc/self/smaps").expect("it is there").as_slice()).expect("text").is_empty());
    }
}
