//! Filesystems of a test's own: small ones, and ones that fail. Only root may mount: without that the test says so.

use super::tools;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A mounted filesystem. Dropped, it is gone.
pub(crate) struct Mounted(PathBuf);

impl Mounted {
    /// An empty one in memory, such as of `24m`.
    pub(crate) fn tmpfs(at: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(at).expect("made");
        let options = format!("size={size},mode=0700");
        Self::mount(&["-t", "tmpfs", "-o", &options, "none"], at)
    }

    /// The ext4 filesystem in the file `image`, which is made if it is not there.
    pub(crate) fn ext4(image: &Path, at: &Path, bytes: u64) -> Option<Self> {
        std::fs::create_dir_all(at).expect("made");
        if !image.exists() {
            if !tools::has("mkfs.ext4", &["-V"]) {
                return None;
            }
            let file = std::fs::File::create(image).expect("made");
            file.set_len(bytes).expect("a sparse file");
            let made = Command::new("mkfs.ext4").arg("-q").arg(image).status();
            assert!(made.expect("mkfs.ext4 runs").success());
        }
        let image = image.to_str().expect("UTF-8");
        Self::mount(&["-o", "loop", image], at)
    }

    fn mount(words: &[&str], at: &Path) -> Option<Self> {
        let at_text = at.to_str().expect("UTF-8");
        let words = [words, &[at_text]].concat();
        tools::allows("mounting", "mount", &words).then(|| Self(at.to_owned()))
    }

    /// Mounts it anew with these options.
    pub(crate) fn remount(&self, options: &str) {
        // An aborted filesystem says so by its exit code, too: what counts is what happens to writes.
        let _ = Command::new("mount")
            .args(["-o", &format!("remount,{options}")])
            .arg(&self.0)
            .stderr(Stdio::null())
            .status();
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let umount = |words: &[&str]| {
            let umount = Command::new("umount")
                .args(words)
                .arg(&self.0)
                .stderr(Stdio::null())
                .status();
            umount.is_ok_and(|status| status.success())
        };
        // Lazily only where a failed test's gateway still holds it: the device is written to the end otherwise.
        if !umount(&[]) {
            umount(&["-l"]);
        }
    }
}
