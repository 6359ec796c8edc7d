"""The api's documents as they are served, and the pages that show them: ``/docs`` and what is below it."""
