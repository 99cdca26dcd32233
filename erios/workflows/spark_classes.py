"""The classes of Spark's JVM, kept in a file as it lays them out in memory: with it a session starts in half the time.

Owns the file (Java's application class-data sharing). `make setup` writes it beside the packages. A JVM that it does
not fit (another Java, other jars, a damaged file) reads its classes as before, without a word.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ARCHIVE = Path(sys.prefix) / "spark-classes.jsa"


def shared_classes(archive: Path = ARCHIVE) -> str:
    """Options of a JVM that reads the file; none where there is none."""
    return f'"-XX:SharedArchiveFile={archive}"' if archive.is_file() else ""


def write_classes(archive: Path = ARCHIVE) -> None:
    """Let a JVM load what sessions need, and write the file as it ends; takes half a minute."""
    with TemporaryDirectory(dir=archive.parent) as folder:
        written = Path(folder) / archive.name
        _use_spark(Path(folder), f'-Xlog:disable "-XX:ArchiveClassesAtExit={written}"')
        written.replace(archive)


def _use_spark(folder: Path, options: str) -> None:
    """A session and a job of Python tasks, as each command has them."""
    from pyspark import SparkConf, SparkContext
    from pyspark.sql import SparkSession

    os.environ |= {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    conf = SparkConf().setAppName("classes").setMaster("local[1]")
    conf.setAll([("spark.ui.enabled", "false"), ("spark.log.level", "OFF"), ("spark.local.dir", str(folder))])
    context = SparkContext(conf=conf.set("spark.driver.extraJavaOptions", options))
    spark, jvm = SparkSession(context), context._gateway.proc  # type: ignore[union-attr]
    context.parallelize(range(2), 2).map(str).collect()
    spark.stop()
    jvm.stdin.close()  # the JVM ends with its standard input
    jvm.wait()


if __name__ == "__main__":
    write_classes()
