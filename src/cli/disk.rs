//! The flags that say what a node may take of its disk, and what it expects of it.

use std::time::Duration;

use clap::Args;

use super::units;
use crate::config::DiskConfig;

/// Smallest file of the log: a record may be some 3 MiB.
const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = (4 << 20)..=(1 << 30);

/// The flags about the disk.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Its disk")]
pub struct DiskArgs {
    /// A write to the log that takes longer means that the disk hangs: the node gives up leading
    /// [default: 1s, and at least twice the longest --election-timeout]
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    pub disk_stall: Option<Duration>,

    /// A write that hangs for this long ends the process
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = units::duration)]
    pub disk_stall_exit: Duration,

    /// Size of one file of the log; two are made ahead
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = segment)]
    pub log_segment: u64,

    /// How much of the log is kept for nodes that lag behind
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = units::bytes)]
    pub log_keep: u64,

    /// How large the log may get while nodes are being brought up with a copy of the state
    #[arg(long, value_name = "SIZE", default_value = "2G", value_parser = units::bytes)]
    pub log_max: u64,

    /// Writes are refused (507) when the disk has less room than this, or than an eighth of its size
    #[arg(long, value_name = "SIZE", default_value = "128M", value_parser = units::bytes)]
    pub disk_reserve: u64,

    /// Writes are refused (507) when the data directory holds more than this; 0: no such bound
    #[arg(long, value_name = "SIZE", default_value = "0", value_parser = units::bytes)]
    pub data_max: u64,

    /// How fast copies of the state are sent to other nodes, in all, per second
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = rate)]
    pub snapshot_rate: u64,

    /// How fast the scrub reads, per second
    #[arg(long, value_name = "SIZE", default_value = "16M", value_parser = rate)]
    pub scrub_rate: u64,

    /// How often the state on disk is read again and checked; or never
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = scrub_every)]
    pub scrub_every: Duration,
}

impl DiskArgs {
    /// What the flags come to, given the longest election timeout.
    ///
    /// # Errors
    /// One line, when they do not fit together.
    pub fn config(&self, election_max: Duration) -> Result<DiskConfig, String> {
        let least = election_max * 2;
        let defaults = DiskConfig::default();
        let stall = self.disk_stall.unwrap_or(defaults.stall.max(least));
        if stall < least {
            return Err(format!(
                "--disk-stall {stall:?} must be at least twice the longest --election-timeout, {least:?}"
            ));
        }
        if self.disk_stall_exit <= stall {
            return Err(format!(
                "--disk-stall-exit {:?} must be longer than --disk-stall, {stall:?}",
                self.disk_stall_exit
            ));
        }
        if self.log_max < self.log_keep {
            return Err("--log-max must not be less than --log-keep".to_owned());
        }
        Ok(DiskConfig {
            stall,
            stall_exit: self.disk_stall_exit,
            segment_bytes: self.log_segment,
            log_keep_bytes: self.log_keep,
            log_max_bytes: self.log_max,
            reserve_bytes: self.disk_reserve,
            data_max_bytes: self.data_max,
            snapshot_rate: self.snapshot_rate,
            scrub_rate: self.scrub_rate,
            scrub_every: self.scrub_every,
        })
    }
}

fn segment(text: &str) -> Result<u64, String> {
    let bytes = units::bytes(text)?;
    if SEGMENT_BYTES.contains(&bytes) { Ok(bytes) } else { Err("from 4M to 1G".to_owned()) }
}

fn rate(text: &str) -> Result<u64, String> {
    match units::bytes(text)? {
        0 => Err("it must be more than nothing".to_owned()),
        bytes => Ok(bytes),
    }
}

fn scrub_every(text: &str) -> Result<Duration, String> {
    if text == "never" { Ok(Duration::ZERO) } else { units::duration(text) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        disk: DiskArgs,
    }

    fn config(line: &str, election_max_ms: u64) -> Result<DiskConfig, String> {
        let words = std::iter::once("bowline").chain(line.split_whitespace());
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        line.disk.config(Duration::from_millis(election_max_ms))
    }

    #[test]
    fn no_flags_mean_the_defaults() {
        assert_eq!(config("", 500), Ok(DiskConfig::default()));
    }

    #[test]
    fn a_slow_pace_bears_with_a_slow_disk() {
        assert_eq!(config("", 2000).unwrap().stall, Duration::from_secs(4));
    }

    #[test]
    fn what_does_not_fit_together_is_refused_by_name() {
        for (line, name) in [
            ("--disk-stall 900ms", "--disk-stall"),
            ("--disk-stall 40s", "--disk-stall-exit"),
            ("--log-max 1M", "--log-max"),
            ("--log-segment 1M", "from 4M to 1G"),
            ("--snapshot-rate 0", "--snapshot-rate"),
            ("--scrub-every 0s", "--scrub-every"),
        ] {
            let why = config(line, 500).unwrap_err();
            assert!(why.contains(name), "{line}: {why}");
        }
        assert_eq!(config("--scrub-every never", 500).unwrap().scrub_every, Duration::ZERO);
    }
}
