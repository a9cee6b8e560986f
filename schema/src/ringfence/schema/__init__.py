"""The admin side: models, migrations, access and mirrors of one deployment."""
