//! A query over a CSV file, whose table is called `rows`: `hh-datafusion FILE.csv SQL`.

use datafusion::prelude::{CsvReadOptions, SessionContext};
use std::{env, process::ExitCode};

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let [file, sql] = &args[..] else {
        eprintln!("usage: hh-datafusion FILE.csv SQL");
        return ExitCode::from(2);
    };
    match query(file, sql).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::from(2)
        }
    }
}

async fn query(file: &str, sql: &str) -> Result<(), Box<dyn std::error::Error>> {
    let context = SessionContext::new();
    hh_datafusion::register(&context, hh::Embedder::english()?);
    context.register_csv("rows", file, CsvReadOptions::new()).await?;
    context.sql(sql).await?.show().await?;
    Ok(())
}
