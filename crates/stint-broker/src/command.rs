//! The command line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use stint_broker::catalog;
use stint_broker::clock::Clock;
use stint_broker::config::Config;
use stint_broker::init::{self, Made, Plan};
use stint_broker::server::{self, App, Layout};
use stint_broker::trust::keys;
use stint_broker::trust::renew::{self, Renewal};
use stint_grant::host_config::parse_duration;
use stint_grant::ids::{FleetName, Principal};
use stint_grant::time::Seconds;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use zeroize::Zeroizing;

/// The broker of a stint fleet.
#[derive(Parser)]
#[command(name = "stint-broker", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes a fleet: keys, certificates, database, first administrator.
    Init(Init),
    /// Serves a fleet.
    Serve {
        /// The fleet's data directory.
        #[arg(long, default_value = "/var/lib/stint-broker")]
        data: PathBuf,
    },
    /// The catalog of entitlements.
    Catalog {
        #[command(subcommand)]
        command: CatalogCommand,
    },
    /// The fleet's root.
    Root {
        #[command(subcommand)]
        command: RootCommand,
    },
}

#[derive(Subcommand)]
enum CatalogCommand {
    /// Checks all files of the catalog.
    Check {
        /// The fleet's data directory.
        #[arg(long, default_value = "/var/lib/stint-broker")]
        data: PathBuf,
    },
}

#[derive(Subcommand)]
enum RootCommand {
    /// Signs the root that follows the current one, with the same keys. Run it where the root key is, not here.
    Next {
        /// The current root, as `stint root export` writes it.
        #[arg(long)]
        current: PathBuf,
        /// The root key that was taken away.
        #[arg(long)]
        key: PathBuf,
        /// A file whose first line is the key's passphrase; asked for if not given.
        #[arg(long)]
        passphrase_file: Option<PathBuf>,
        /// How long it holds.
        #[arg(long, default_value = "365d", value_parser = parse_duration)]
        valid_for: Seconds,
        /// Begin a new epoch: voids all bundles that are out, for instance after a restore.
        #[arg(long)]
        new_epoch: bool,
        /// Where the next root is written. Publish it with `stint root publish`.
        #[arg(long)]
        to: PathBuf,
    },
}

#[derive(clap::Args)]
struct Init {
    /// Where: a directory that is empty or not there.
    #[arg(long, default_value = "/var/lib/stint-broker")]
    data: PathBuf,
    /// The fleet's name.
    #[arg(long)]
    fleet: FleetName,
    /// A DNS name or address by which hosts and people reach the broker.
    #[arg(long = "name", required = true)]
    names: Vec<String>,
    /// The first administrator.
    #[arg(long, default_value = "admin")]
    admin: Principal,
    /// Where the broker listens.
    #[arg(long, default_value = "0.0.0.0:7443")]
    listen: SocketAddr,
    /// A file whose first line is the passphrase of the keys to be taken away; asked for if not given.
    #[arg(long)]
    passphrase_file: Option<PathBuf>,
    /// For people or for programs.
    #[arg(long, default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Runs the command line.
pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let quiet = if matches!(arguments.command, Command::Serve { .. }) { "info,sqlx=warn" } else { "warn" };
    let filter = EnvFilter::try_from_env("STINT_LOG").unwrap_or_else(|_| EnvFilter::new(quiet));
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(colours)
        .init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.to_string()),
    };
    let done = match arguments.command {
        Command::Init(asked) => runtime.block_on(make(asked)),
        Command::Serve { data } => runtime.block_on(serve(&data)),
        Command::Catalog { command: CatalogCommand::Check { data } } => check_catalog(&data),
        Command::Root { command } => sign_next_root(&command),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => failed(&message),
    }
}

fn failed(message: &str) -> ExitCode {
    eprintln!("stint-broker: {message}");
    ExitCode::FAILURE
}

fn passphrase(file: Option<&Path>) -> Result<Zeroizing<String>, String> {
    if let Some(path) = file {
        let text = std::fs::read_to_string(path)
            .map(Zeroizing::new)
            .map_err(|e| format!("{}: {e}", path.display()))?;
        return Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()));
    }
    let ask = |prompt: &str| {
        rpassword::prompt_password(prompt)
            .map(Zeroizing::new)
            .map_err(|e| format!("the passphrase cannot be asked for ({e}): give it with --passphrase-file"))
    };
    let first = ask("Passphrase for the root and roster keys: ")?;
    if *first != *ask("The same once more: ")? {
        return Err("the two passphrases differ: nothing was made".to_owned());
    }
    Ok(first)
}

async fn make(asked: Init) -> Result<(), String> {
    let plan = Plan {
        data: asked.data,
        fleet: asked.fleet,
        names: asked.names,
        admin: asked.admin,
        listen: asked.listen,
        passphrase: passphrase(asked.passphrase_file.as_deref())?,
    };
    let made = init::init(&plan).await.map_err(|e| e.to_string())?;
    match asked.output {
        Output::Text => print!("{}", in_words(&plan, &made)),
        Output::Json => println!(
            "{}",
            serde_json::json!({
                "broker": url(&plan), "ca_pin": made.ca_pin, "root": made.root_pin, "take_away": made.take_away,
                "admin": made.admin,
            })
        ),
    }
    Ok(())
}

fn url(plan: &Plan) -> String {
    let name = plan.names.first().map_or("", String::as_str);
    let name = if name.parse::<std::net::Ipv6Addr>().is_ok() { format!("[{name}]") } else { name.to_owned() };
    format!("https://{name}:{}", plan.listen.port())
}

fn in_words(plan: &Plan, made: &Made) -> String {
    let (data, away, admin) = (plan.data.display(), made.take_away.display(), &made.admin);
    format!(
        "Fleet {fleet} is made in {data}.\n\n\
         1. Take the root and roster keys away, to a place that this host cannot reach:\n\
         \x20     mv {away} /media/STICK/\n\
         \x20  The broker does not start while it can read them.\n\
         2. The first administrator, shown only now:\n\
         \x20     user      {user}\n\x20     password  {password}\n\x20     TOTP      {totp}\n\x20               {totp_url}\n\
         3. Describe what may be requested in {data}/catalog/*.toml, and check it: stint-broker catalog check --data {data}\n\
         4. Start:    stint-broker serve --data {data}\n\
         5. Sign in:  stint login --broker {url} --ca-pin {pin} --root-pin {root} --user {user}\n",
        fleet = plan.fleet,
        user = admin.name,
        password = admin.password,
        totp = admin.totp_secret,
        totp_url = admin.totp_url,
        url = url(plan),
        pin = made.ca_pin,
        root = made.root_pin,
    )
}

fn sign_next_root(command: &RootCommand) -> Result<(), String> {
    let RootCommand::Next { current, key, passphrase_file, valid_for, new_epoch, to } = command;
    let envelope = std::fs::read(current).map_err(|e| format!("{}: {e}", current.display()))?;
    let passphrase =
        match passphrase_file {
            Some(_) => passphrase(passphrase_file.as_deref())?,
            None => rpassword::prompt_password("Passphrase of the root key: ").map(Zeroizing::new).map_err(
                |e| format!("the passphrase cannot be asked for ({e}): give it with --passphrase-file"),
            )?,
        };
    let key = keys::read_encrypted(key, &passphrase).map_err(|e| e.to_string())?;
    let renewal = Renewal { now: Clock::default().now().unix(), life: *valid_for, new_epoch: *new_epoch };
    let next = renew::next(&envelope, &key, renewal).map_err(|e| e.to_string())?;
    keys::write_secret(to, &next).map_err(|e| format!("{}: {e}", to.display()))?;
    println!("The next root is in {0}. An administrator publishes it: stint root publish {0}", to.display());
    Ok(())
}

fn check_catalog(data: &Path) -> Result<(), String> {
    let layout = Layout::new(data);
    let config = Config::read(&layout.config()).map_err(|e| e.to_string())?;
    match catalog::load(&layout.catalog(), config.max_window, config.pulse_interval) {
        Ok(catalog) => {
            println!("{} entitlements, version {}", catalog.entitlements.len(), catalog.version);
            Ok(())
        }
        Err(mistakes) => Err(mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    }
}

async fn serve(data: &Path) -> Result<(), String> {
    let app = server::open(data, Clock::default()).await.map_err(|e| e.to_string())?;
    let running = server::run(app.clone()).await.map_err(|e| e.to_string())?;
    tracing::info!(fleet = %app.config.fleet, address = %running.address, ca_pin = app.keys.ca.pin(), "serving");
    until_told(&app, data).await.map_err(|e| e.to_string())?;
    tracing::info!("stopping");
    app.stop();
    running.stopped().await;
    Ok(())
}

/// SIGHUP reads the catalog anew; SIGTERM and SIGINT end.
async fn until_told(app: &App, data: &Path) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut reload = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = reload.recv() => {
                if let Err(problem) = server::reload_catalog(app, data).await {
                    tracing::error!("{problem}");
                }
            }
        }
    }
}
