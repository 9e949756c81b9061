"Packaging read from `settings.ini`, so that versions and requirements are written down once."
from configparser import ConfigParser
from pathlib import Path
from setuptools import find_packages, setup

parser = ConfigParser(delimiters=['='])
parser.read(Path(__file__).parent/'settings.ini', encoding='utf-8')
cfg = parser['DEFAULT']
words = lambda key: cfg.get(key, '').split()
extras = {name: words(f'{name}_requirements') for name in ('demo', 'fast', 'formats', 'parallel', 'cluster', 'noise', 'index', 'tpu', 'dev')}

setup(
    name             = cfg['lib_name'],
    version          = cfg['version'],
    description      = cfg['description'],
    long_description = Path(__file__).with_name('README.md').read_text(encoding='utf-8'),
    long_description_content_type = 'text/markdown',
    keywords         = words('keywords'),
    license          = 'Apache-2.0',
    author           = cfg['author'],
    author_email     = cfg['author_email'],
    url              = cfg['git_url'],
    classifiers      = ['Development Status :: 3 - Alpha', 'Intended Audience :: Developers',
                        'Programming Language :: Python :: 3', 'Topic :: Scientific/Engineering :: Image Recognition'],
    packages         = find_packages(include=['cvkit', 'cvkit.*']),
    python_requires  = f">={cfg['min_python']}",
    install_requires = words('requirements') + words('pip_requirements'),
    extras_require   = extras,
    entry_points     = dict(console_scripts=words('console_scripts'), nbdev=['cvkit=cvkit._modidx:d']),
)
