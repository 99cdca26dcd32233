"""What a web server runs: gunicorn, or any other WSGI server."""

from django.core.wsgi import get_wsgi_application

from erios.database import set_up_django

set_up_django()
application = get_wsgi_application()
