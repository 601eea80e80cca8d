"""Loads all invoices into the warehouse, and writes them to the archive."""

import dlt

from invoices import invoices

pipeline = dlt.pipeline("invoices", destination="warehouse", dataset_name="accounting")


def load():
    return pipeline.run(invoices())


def archive():
    dlt.pipeline("archive", destination="archive", dataset_name="invoices").run(
        pipeline.dataset()["items"].df(), table_name="items", loader_file_format="parquet"
    )


if __name__ == "__main__":
    load()
    archive()
    print("profile", dlt.current.workspace().profile, "loaded", len(pipeline.dataset().tables))
