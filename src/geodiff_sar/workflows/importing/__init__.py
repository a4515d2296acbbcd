"""Reading the training scripts of other programs; nothing in them is executed.

``powershell`` reads a script's statements, ``expressions`` values, ``script`` its settings; ``published`` says what becomes
of each setting, ``configure`` what all of them come to.
"""
