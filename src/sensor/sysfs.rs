//! Small kernel files: read again and again without opening them again, and never trusted.

use super::{Cause, Fault};
use rustix::fs::{Mode, OFlags};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Longest attribute that is read, in bytes: sysfs gives a page at most (Documentation/filesystems/sysfs.rst).
pub const MAX_BYTES: usize = 4096;

/// Most entries of a directory that are looked at.
pub const MAX_ENTRIES: usize = 4096;

/// Characters of a broken attribute that a fault shows.
const SHOWN: usize = 64;

/// A one-value file, held open and read from its start every time.
#[derive(Debug)]
pub struct Attribute {
    path: PathBuf,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    mode: u32,
}

impl Attribute {
    /// The attribute at a path, which is opened when it is first read.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            open: None,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its text without the white space around it.
    ///
    /// # Errors
    /// Where it cannot be read, is longer than [`MAX_BYTES`], empty, binary or not UTF-8.
    pub fn read_text(&mut self) -> Result<String, Fault> {
        self.read(|text| Some(text.to_owned()))
    }

    /// A whole number that is never negative.
    ///
    /// # Errors
    /// As [`read_text`](Self::read_text), and where it is no such number.
    pub fn read_u64(&mut self) -> Result<u64, Fault> {
        self.read(|text| text.parse().ok())
    }

    /// A whole number.
    ///
    /// # Errors
    /// As [`read_text`](Self::read_text), and where it is no such number.
    pub fn read_i64(&mut self) -> Result<i64, Fault> {
        self.read(|text| text.parse().ok())
    }

    /// What `parse` makes of its bytes as they are: at most [`MAX_BYTES`] and one, which says that there
    /// are more.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn read_with<T>(&mut self, parse: impl FnOnce(&[u8]) -> T) -> Result<T, Fault> {
        let mut buffer = [0; MAX_BYTES + 1];
        match self.fill(&mut buffer) {
            Ok(bytes) => Ok(parse(bytes)),
            Err(error) => {
                // A device that vanished and came back is another file under the same path.
                self.open = None;
                Err(failed(&self.path, error))
            }
        }
    }

    fn read<T>(&mut self, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, Fault> {
        let parsed = self.read_with(|bytes| {
            let value = text(bytes).and_then(parse);
            value.ok_or_else(|| bytes.to_vec())
        })?;
        parsed.map_err(|bytes| unreadable(&self.path, &bytes))
    }

    fn fill<'a>(&mut self, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
        let open = match self.open.take().filter(Open::is_current) {
            Some(open) => open,
            None => Open::new(&self.path)?,
        };
        let length = open.file.read_at(buffer, 0)?;
        self.open = Some(open);
        Ok(buffer.get(..length).unwrap_or_default())
    }
}

impl Open {
    fn new(path: &Path) -> io::Result<Self> {
        // Without NONBLOCK, opening a pipe in the place of an attribute would wait for ever.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
        let mode = file.metadata()?.mode();
        Ok(Self { file, mode })
    }

    /// Whether this is still the file at its path with the permissions it was opened with: a deleted
    /// file can be read for as long as it is open, and a permission withdrawn is to be heeded.
    fn is_current(&self) -> bool {
        self.file
            .metadata()
            .is_ok_and(|now| now.nlink() > 0 && now.mode() == self.mode)
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    if bytes.len() > MAX_BYTES || bytes.contains(&0) {
        return None;
    }
    let text = std::str::from_utf8(bytes).ok()?.trim();
    (!text.is_empty()).then_some(text)
}

/// The fault of a file that could not be read.
#[must_use]
pub fn failed(path: &Path, error: io::Error) -> Fault {
    let mend = match error.kind() {
        io::ErrorKind::PermissionDenied => "run as root, or grant CAP_DAC_READ_SEARCH",
        io::ErrorKind::NotFound => {
            "it vanished with its device; nothing to do where that was meant"
        }
        _ => "",
    };
    Fault {
        place: path.display().to_string(),
        cause: Cause::Io(error),
        mend: mend.to_owned(),
    }
}

/// The fault of a file whose content makes no sense.
#[must_use]
pub fn unreadable(path: &Path, content: &[u8]) -> Fault {
    let text = String::from_utf8_lossy(content);
    let mut shown: String = text.trim_end().chars().take(SHOWN).collect();
    if text.trim_end().chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    Fault {
        place: path.display().to_string(),
        cause: Cause::Parse(shown),
        mend: "check what is mounted there; a driver writes one number or name, so else it is a driver's \
               fault to report"
            .to_owned(),
    }
}

/// Whether a name is a PCI address, such as `0000:03:00.0`.
#[must_use]
pub fn is_pci(text: &str) -> bool {
    let fields: Vec<&str> = text.split([':', '.']).collect();
    let sizes: Vec<usize> = fields.iter().map(|field| field.len()).collect();
    matches!(sizes.as_slice(), [4 | 8, 2, 2, 1])
        && fields
            .iter()
            .all(|field| field.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// The names in a directory.
#[derive(Debug, Default)]
pub struct Listing {
    /// Sorted by bytes.
    pub names: Vec<String>,
    /// Names that are not UTF-8, and a mark where there are more than [`MAX_ENTRIES`].
    pub bad: Vec<Fault>,
}

/// Lists a directory.
///
/// # Errors
/// Where it cannot be listed at all.
pub fn list(directory: &Path) -> Result<Listing, Fault> {
    let entries = fs::read_dir(directory).map_err(|error| failed(directory, error))?;
    let mut listing = Listing::default();
    for (seen, entry) in entries.enumerate() {
        if seen == MAX_ENTRIES {
            listing.bad.push(Fault {
                place: directory.display().to_string(),
                cause: Cause::Device(format!("more than {MAX_ENTRIES} entries")),
                mend: "the rest is ignored; check what is mounted there".to_owned(),
            });
            break;
        }
        match entry.map(|entry| entry.file_name().into_string()) {
            Ok(Ok(name)) => listing.names.push(name),
            Ok(Err(odd)) => listing.bad.push(Fault {
                place: directory.join(&odd).display().to_string(),
                cause: Cause::Parse(odd.to_string_lossy().into_owned()),
                mend: "its name is not UTF-8; check what is mounted there".to_owned(),
            }),
            Err(error) => listing.bad.push(failed(directory, error)),
        }
    }
    listing.names.sort_unstable();
    Ok(listing)
}

/// Reads an attribute once, where only its value matters: `None` where it is absent, broken or empty.
#[must_use]
pub fn peek(path: impl Into<PathBuf>) -> Option<String> {
    Attribute::new(path).read_text().ok()
}

/// As [`peek`], for a number.
#[must_use]
pub fn peek_u64(path: impl Into<PathBuf>) -> Option<u64> {
    Attribute::new(path).read_u64().ok()
}

/// The beginning of a file of any length, as text; bytes that are none are replaced.
#[must_use]
pub fn head(path: &Path, bytes: usize) -> String {
    let mut buffer = vec![0; bytes];
    let mut filled = 0;
    if let Ok(open) = Open::new(path) {
        // procfs hands out big files in pieces.
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match open.file.read_at(rest, filled as u64) {
                Ok(0) | Err(_) => break,
                Ok(more) => filled += more,
            }
        }
    }
    String::from_utf8_lossy(buffer.get(..filled).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;
    use std::os::unix::fs::symlink;

    fn file(content: &[u8]) -> (tempfile::TempDir, Attribute) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), content).unwrap();
        let attribute = Attribute::new(dir.path().join("a"));
        (dir, attribute)
    }

    #[test]
    fn numbers_are_read_afresh_every_time() {
        let (dir, mut a) = file(b"262143328850\n");
        assert_eq!(a.read_u64().unwrap(), 262_143_328_850);
        fs::write(dir.path().join("a"), "-7\n").unwrap();
        assert_eq!(a.read_i64().unwrap(), -7);
        assert_eq!(a.read_u64().unwrap_err().reason(), "parse");
    }

    #[test]
    fn nonsense_is_a_fault_with_a_short_text() {
        for bad in [
            &b""[..],
            b"\n",
            b"twelve",
            b"1 2",
            b"12.5",
            b"99999999999999999999999",
            b"1\x002",
            b"\xff\xfe",
            &[b'1'; MAX_BYTES + 1],
        ] {
            let fault = file(bad).1.read_u64().unwrap_err();
            assert_eq!(fault.reason(), "parse");
            assert!(fault.to_string().len() < 500, "{fault}");
            assert!(!fault.mend.is_empty());
        }
    }

    #[test]
    fn a_file_that_was_replaced_is_opened_anew() {
        let (dir, mut a) = file(b"1");
        let path = dir.path().join("a");
        assert_eq!(a.read_u64().unwrap(), 1);
        fs::remove_file(&path).unwrap();
        assert_eq!(a.read_u64().unwrap_err().reason(), "vanished");
        fs::write(&path, "2").unwrap();
        assert_eq!(a.read_u64().unwrap(), 2);
        fs::write(dir.path().join("b"), "3").unwrap();
        fs::rename(dir.path().join("b"), &path).unwrap();
        assert_eq!(a.read_u64().unwrap(), 3);
    }

    #[test]
    fn things_that_are_no_files_fail_and_do_not_hang() {
        let dir = tempfile::tempdir().unwrap();
        let fault = Attribute::new(dir.path()).read_u64().unwrap_err();
        assert_eq!(fault.reason(), "io");
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            Mode::RUSR,
            0,
        )
        .unwrap();
        assert_eq!(Attribute::new(pipe).read_u64().unwrap_err().reason(), "io");
        let memory = dir.path().join("memory");
        symlink("/proc/self/mem", &memory).unwrap();
        let fault = Attribute::new(memory).read_u64().unwrap_err();
        assert_eq!(fault.reason(), "io");
    }

    #[test]
    fn a_directory_is_listed_in_order_without_its_odd_names() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b", "a", "c"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let odd = std::ffi::OsString::from_vec(b"od\xffd".to_vec());
        fs::write(dir.path().join(odd), "").unwrap();
        let listing = list(dir.path()).unwrap();
        assert_eq!(listing.names, ["a", "b", "c"]);
        assert_eq!(listing.bad.len(), 1);
        assert_eq!(
            list(&dir.path().join("none")).unwrap_err().reason(),
            "vanished"
        );
    }

    #[test]
    fn the_head_of_a_file_stops_where_it_is_told() {
        let (dir, _) = file(&[b'x'; 10_000]);
        assert_eq!(head(&dir.path().join("a"), 4096).len(), 4096);
        assert_eq!(head(&dir.path().join("none"), 4096), "");
    }
}
